"""Stages of the training, each one module."""
