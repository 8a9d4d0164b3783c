"""State: what must be locked or asked by query, in a database that can be rebuilt from the receipts at any time."""
