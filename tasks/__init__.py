"""One file a side effect: what the flows are composed of."""
