"""Find the name of a target in a text, however it is spelled, joined, shortened or put in another order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from expunge.policies import Policy

TITLES = (
    r"mr|mrs|ms|miss|mx|dr|prof|professor|sir|dame|lord|lady|herr|frau|monsieur|madame|mme|mlle|senor|senora|senorita"
    r"|sr|sra|signor|signora|signorina|dott|mevrouw|meneer|pan|pani"
)
LETTERS = str.maketrans(
    dict(zip("øłđħıŧæœþð", ["o", "l", "d", "h", "i", "t", "ae", "oe", "th", "d"], strict=True))
    | dict(zip("асԁеһіјӏорԛѕԝху", "acdehijlopqswxy", strict=True))
    | dict(zip("αικνορυχ", "aikvopux", strict=True))
)
"""Letters that stay whole when accents are taken off, and letters of other scripts that are drawn like Latin ones."""
GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
DIGEST = re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{12,}\b")
LONG = 7
"""A name of so many letters is found inside of longer words, too."""


def names_target(text: str, policy: Policy) -> bool:
    """Return whether a text has a name or alias of a policy's targets: whole, joined, or a title with the surname."""
    readings = {_spaced(words) for words in _readings(DIGEST.sub(" ", text))}
    return any(re.search(pattern, said) for name in _names(policy) for pattern in _patterns(name) for said in readings)


def id_names_target(own: str, policy: Policy) -> bool:
    """Return whether an id has a name of a policy's targets, or one word of such a name."""
    said = re.sub(r"[\d_-]+", " ", own)
    words = {word for words in _readings(said) for word in words if len(word) > 1}
    return names_target(said, policy) or any(not words.isdisjoint(name) for name in _names(policy))


def _names(policy: Policy) -> list[tuple[str, ...]]:
    named = [name for concept in policy.concepts for name in (concept.name, *concept.aliases)]
    return list(dict.fromkeys(words for name in named for words in _readings(name) if words))


def _patterns(name: tuple[str, ...]) -> Iterator[str]:
    """Yield the patterns of a name in a text of small words, one space before, between and after them."""
    yield _joined(name)
    first, last = name[0], name[-1]
    if len(name) < 2 or not (first.isalpha() and last.isalpha()):
        return
    yield _joined((last, *name[:-1]))
    yield rf" {first}(?: \w+){{0,2}} {last} | {last} {first} "
    yield rf" {first[0]} ?{last} | {last} {first[0]} "
    yield rf" {first} {last[0]} "
    yield rf" (?:{TITLES}) (?:{first}|(?:\w+ ){{0,3}}?{last}) "


def _joined(name: tuple[str, ...]) -> str:
    """Return the pattern of a name whose letters may have spaces between; a long one may be part of a word."""
    letters = "".join(name)
    pattern = " ?".join(map(re.escape, letters))
    inside = len(letters) >= LONG or any(unicodedata.category(char) == "Lo" for char in letters)
    return pattern if inside else f" {pattern} "


def _readings(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of a text in small letters, with and without `ue` for `ü`, and with `JaneDoe` set apart."""
    visible = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    apart = re.sub(r"(?<=[^\W\d_])(?=[^\W\d_])", lambda at: _gap(visible, at.start()), visible)
    for said in (visible, apart):
        for table in ({}, GERMAN):
            yield tuple(_spelled(said.casefold().translate(table)).split())


def _gap(text: str, place: int) -> str:
    return " " if text[place - 1].islower() and text[place].isupper() else ""


def _spelled(text: str) -> str:
    """Return a text in small Latin letters without accents; all that is no letter or digit is a space."""
    apart = unicodedata.normalize("NFKD", text.casefold()).translate(LETTERS)
    return "".join(char if char.isalnum() else " " for char in apart if not unicodedata.combining(char))


def _spaced(words: tuple[str, ...]) -> str:
    return f" {' '.join(words)} "
