"""Drawing and judging pictures in several processes."""
