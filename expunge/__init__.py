"""Takedown compliance for text-to-image models.

The subpackages are symbolic links to the folders of the same name in the repository. They are imported by their full
names only (`expunge.engine`, never `engine`), or a module would be loaded twice.
"""
