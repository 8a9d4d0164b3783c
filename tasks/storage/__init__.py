"""Storage: bundles, pointers and the record's copy in S3."""
