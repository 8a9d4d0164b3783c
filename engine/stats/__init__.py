"""Statistics of a verdict: limits, bounds, p-values, the evidence table and the decision."""
