"""Other spellings of a name: misspelled, in letters that only look like its own, or in another language.

The tables are data beside this file: `homoglyphs.tsv` (a letter and its Cyrillic or Greek look-alikes, Cyrillic first)
and `translations.tsv` (everyday things in German, Spanish, French and Italian).
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


def misspellings(name: str, rng: random.Random) -> Iterator[str]:
    """Yield the name with two letters swapped, one dropped, one doubled, and so on in turn; never the name itself.

    The mistake is in the longest word and spares its first letter, as most people's mistakes do. The iterator ends when
    there is no new one.
    """
    word = max(re.findall(r"\w+", name), key=len, default="")
    kinds = [rng.sample(made, len(made)) for made in (_mistakes(word, kind) for kind in (_swap, _drop, _double))]
    for turn in range(max(map(len, kinds))):
        yield from (name.replace(word, made[turn], 1) for made in kinds if turn < len(made))


def _mistakes(word: str, kind: Callable[[str, int], str]) -> list[str]:
    return sorted({kind(word, place) for place in range(1, len(word))} - {word, word[:1]})


def _swap(word: str, place: int) -> str:
    return word[:place] + word[place : place + 2][::-1] + word[place + 2 :]


def _drop(word: str, place: int) -> str:
    return word[:place] + word[place + 1 :]


def _double(word: str, place: int) -> str:
    return word[: place + 1] + word[place:]


def homoglyphs(name: str, rng: random.Random) -> Iterator[str]:
    """Yield the name with one letter replaced by a look-alike, then with all that have one, then other single ones."""
    table = _look_alikes()
    single = [
        name[:place] + twin + name[place + 1 :] for place, letter in enumerate(name) for twin in table.get(letter, ())
    ]
    rng.shuffle(single)
    whole = "".join(table.get(letter, (letter,))[0] for letter in name)
    ordered = [*single[:1], *([whole] if whole != name else []), *single[1:]]
    yield from dict.fromkeys(ordered)


@cache
def _look_alikes() -> dict[str, tuple[str, ...]]:
    twins: dict[str, tuple[str, ...]] = {}
    for row in _rows("homoglyphs.tsv"):
        twins[row["letter"]] = (*twins.get(row["letter"], ()), row["look_alike"])
    return twins


def translations(name: str) -> tuple[str, ...]:
    """Return the name in the languages of the table, without those that write it the same.

    Return none if the table lacks the name.
    """
    spoken = _dictionary().get(name.casefold(), ())
    return tuple(dict.fromkeys(word for word in spoken if word.casefold() != name.casefold()))


@cache
def _dictionary() -> dict[str, tuple[str, ...]]:
    return {row.pop("name"): tuple(row.values()) for row in _rows("translations.tsv")}


def _rows(file: str) -> list[dict[str, str]]:
    with open(FOLDER / file, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
