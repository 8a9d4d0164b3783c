"""Training of the built-in model and of its judges."""
