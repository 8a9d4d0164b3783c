"""The evidence of a verdict: which questions are asked, drawing and judging at scale, the measured quality."""
