"""The record of a line: receipts, who signed them, and what they come to."""
