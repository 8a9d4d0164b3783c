"""Signatures and time stamps of receipts, and whose signatures count."""
