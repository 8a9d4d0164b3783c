"""Limits of a policy in the form that the statistics take, and the grade that a PASS within them has."""
