"""The flows people run: from a notice to a published, verified model."""
