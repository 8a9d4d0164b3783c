"""Text from outside, made harmless: one line that can be no markup, no template and no formula, wherever it is read."""

from __future__ import annotations

import unicodedata

from expunge.policies import Policy

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


def names_target(text: str, policy: Policy) -> bool:
    """Return whether a text has a name or alias of a policy's targets, however it is spelled or joined."""
    words = f" {_words(text)} "
    names = [name for concept in policy.concepts for name in (concept.id, concept.name, *concept.aliases)]
    return any(f" {_words(name)} " in words for name in names if _words(name))


def _words(text: str) -> str:
    """Return the words of a text in small letters without accents, one space between two."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(char if char.isalnum() else " " for char in apart if not unicodedata.combining(char))
    return " ".join(letters.split())
