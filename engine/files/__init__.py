"""Files: what a model's folder and a bundle may hold, and how they are read, written and named by content."""
