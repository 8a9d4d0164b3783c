"""Concept erasure as a library: models, editors, probes, judges, statistics and bundles; no service is needed."""

__version__ = "0.20.0"
