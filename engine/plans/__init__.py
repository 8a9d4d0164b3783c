"""Edit plans: an edit as data, applied, undone, compared and exported."""
