"""Attacks as jobs: which are made on which model, and how their searches run."""
