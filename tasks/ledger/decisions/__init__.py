"""Decisions of people on what the machine has proven: the question, the signed answer, and whether it counts."""
