"""The policies in force on one base, merged into one desired state."""
