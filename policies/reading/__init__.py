"""Strict reading: from the bytes of a file to a policy, or to errors that name line, field and cure."""
