"""Prompts in families: wordings as data, and what is made of them."""
