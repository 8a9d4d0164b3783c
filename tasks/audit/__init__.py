"""Audit: whether the record is whole, and whether its conclusions follow from its evidence."""
