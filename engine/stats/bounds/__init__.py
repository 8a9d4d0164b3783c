"""Bounds of rates: exact for a fixed number of pictures, valid at every look, and corrected for many claims."""
