"""Runs on other machines: deployments in Prefect, runs that are started and followed from afar."""
