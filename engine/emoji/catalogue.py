"""The objects and styles that the built-in model can draw, read from the two .tsv files beside this one."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Object:
    """One drawable object; `group` gathers near-twins, `clues` are words that point to it without naming it."""

    icon: str
    name: str
    group: str
    category: str
    synonyms: tuple[str, ...]
    clues: tuple[str, ...]


@dataclass(frozen=True)
class Style:
    """One drawing style: an open-licensed emoji set, with the archive it comes from and its credits."""

    name: str
    package: str
    version: str
    sha256: str
    synonyms: tuple[str, ...]
    licence: str
    author: str
    url: str


def _rows(file: str) -> list[dict[str, str]]:
    with open(HERE / file, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def _words(cell: str) -> tuple[str, ...]:
    return tuple(word for word in cell.split(",") if word)


def _object(row: dict[str, str]) -> Object:
    plain = {key: row[key] for key in ("icon", "name", "group", "category")}
    return Object(**plain, synonyms=_words(row["synonyms"]), clues=_words(row["clues"]))


def _style(row: dict[str, str]) -> Style:
    return Style(**{**row, "synonyms": _words(row["synonyms"])})  # type: ignore[arg-type]


OBJECTS: tuple[Object, ...] = tuple(_object(row) for row in _rows("objects.tsv"))
STYLES: tuple[Style, ...] = tuple(_style(row) for row in _rows("styles.tsv"))


def twins(name: str) -> list[str]:
    """Return the names of the other objects in the same group as `name`.

    Raises:
        KeyError: there is no such object.
    """
    group = {item.name: item.group for item in OBJECTS}[name]
    return [item.name for item in OBJECTS if item.group == group and item.name != name]
