"""Tracking: the index in MLflow, and runs that a kill left behind in Prefect."""
