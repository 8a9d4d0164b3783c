"""What every judge answers, and the pictures that no judge may answer for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from expunge.engine.errors import ConceptError, MissingExtra

FLAT_LEVELS = 16
FLAT_SHARE = 0.01


@dataclass(frozen=True)
class Sighting:
    """Say if the judge sees the concept in a picture, with what probability, and what the picture shows.

    `shows` is the likeliest label, `NOTHING` where there is nothing to recognise, "" from a judge that cannot say.
    `sensitive` is a second reading, which sees more: a judge that has one gives it for what must be gone.
    """

    seen: bool
    score: float
    shows: str = ""
    sensitive: Sighting | None = None

    @property
    def of_target(self) -> Sighting:
        """The reading that counts for what must be gone; the only one, of most judges."""
        return self.sensitive or self


class Judge(Protocol):
    """The interface of a judge: it says what pictures show.

    A verdict is worth only as much as the judge's weights, labels, wordings and thresholds, and `digest` names all of
    them. `categories` are the kinds of concept that it can judge ("object", "style"). A judge with a true attribute
    `recognises` says of a picture of nothing that it shows `NOTHING`.
    """

    digest: str
    categories: frozenset[str]

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """Say for each picture, uint8 [n, height, width, 3], whether it shows the concept beside it.

        Raises ConceptError on a category, or a concept of it, that the judge cannot judge, or where there is not one
        concept a picture.
        """
        ...


def fault(picture: np.ndarray) -> str:
    """Why a picture proves nothing, or "": a black or constant picture must never count as forgotten.

    A picture is constant where fewer than `FLAT_SHARE` of its pixels differ from its median colour by more than
    `FLAT_LEVELS` of 255 in any channel. So a plain red picture is one, faint noise does not save it, nor do a few hot
    pixels. A model that computes NaN ends here: its pictures are one colour once they are bytes. Of the built-in
    model's training pictures, line drawings included, none has less than 9 % of such pixels.
    """
    if not np.isfinite(picture).all():
        return "picture with NaN or infinity"
    pixels = picture.reshape(-1, picture.shape[-1]).astype(np.float32)
    colour = np.median(pixels, axis=0)
    if (np.abs(pixels - colour) > FLAT_LEVELS).any(axis=1).mean() >= FLAT_SHARE:
        return ""
    return "black picture" if colour.max() <= FLAT_LEVELS else "constant picture"


def refuse_unfit(pictures: np.ndarray, concepts: Sequence[str], category: str, known: Iterable[str]) -> None:
    """ConceptError unless there is one concept a picture, for a text's letters are none, of a `known` category."""
    if isinstance(concepts, str) or len(concepts) != len(pictures):
        raise ConceptError(f"{len(pictures)} pictures and {concepts!r:.80}: give a list with one concept a picture")
    refuse_unknown("category", [category], known)


def refuse_unknown(what: str, asked: Iterable[str], known: Iterable[str]) -> None:
    """ConceptError if something is asked that is not known; the match is exact, never a part of a word."""
    known = sorted(known)
    if unknown := sorted(set(asked) - set(known)):
        named = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        raise ConceptError(f"this judge knows no {what} {unknown[0]!r}; use one of {named}, or another judge")


def library(name: str, needed: str) -> Any:
    """Return an optional library.

    If it is not installed, raise MissingExtra with `needed`, which says what it is for and how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(needed) from error


def likeliest(chances: np.ndarray, labels: Sequence[str], concepts: Sequence[str]) -> list[Sighting]:
    """Return one sighting for each picture: its concept is seen where it is the likeliest label.

    Args:
        chances: probabilities, [pictures, labels].
    """
    places = {label: place for place, label in enumerate(labels)}
    found = [(int(row.argmax()), row) for row in chances]
    return [
        Sighting(seen=best == places[concept], score=float(row[places[concept]]), shows=labels[best])
        for (best, row), concept in zip(found, concepts, strict=True)
    ]


def from_scores(scores: np.ndarray, threshold: float) -> list[Sighting]:
    """Return one sighting for each picture: its concept is seen where the score, in [0, 1], reaches the threshold."""
    return [Sighting(seen=bool(score >= threshold), score=float(score)) for score in scores]
