"""Text from outside, made harmless: one line that can be no markup, no template and no formula, wherever it is read."""

from __future__ import annotations

import unicodedata

MOST_TEXT = 2000
HARMLESS = str.maketrans("<>{}", "‹›()")
"""Marks of HTML and of templates, with what is printed in their place."""
FORMULA = ("=", "+", "-", "@")


def plain(text: str) -> str:
    """Return a text as one line of at most MOST_TEXT characters, without control characters or marks of markup."""
    line = "".join(char if char.isprintable() else " " for char in unicodedata.normalize("NFKC", text))
    short = " ".join(line.split()).translate(HARMLESS)
    return short if len(short) <= MOST_TEXT else short[: MOST_TEXT - 3] + "..."


def defused(cell: object) -> str:
    """Return a cell of a CSV file that no spreadsheet takes for a formula."""
    text = plain(str(cell))
    return f"'{text}" if text.startswith(FORMULA) else text
