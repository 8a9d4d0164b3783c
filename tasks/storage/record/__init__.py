"""The record in S3, the first place of it: a home is a copy that may be deleted."""
