"""Several judges, one answer: what more than half of them see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.digests import folder_digest, json_digest
from expunge.engine.judges.base import Judge, Sighting, refuse_unfit, refuse_unknown
from expunge.engine.judges.card import Card, Kind, Known, known, known_to_all, open_judge, read_card


@runtime_checkable
class LooksForAny(Protocol):
    """A judge of several members, each of which must answer by all names before they are counted."""

    def look_for_any(self, pictures: np.ndarray, names: Sequence[Sequence[str]], category: str) -> list[Sighting]: ...


class Ensemble:
    """A vote of the members that can judge the category, an odd number in each, so that none is ever tied.

    The score is the mean of theirs; the digest, unless given, is made of theirs, whatever their order.
    """

    def __init__(self, members: Sequence[Judge], digest: str = "") -> None:
        self.categories = frozenset[str]().union(*(member.categories for member in members))
        self._voters = {
            category: [member for member in members if category in member.categories] for category in self.categories
        }
        for category, voters in self._voters.items():
            if len(voters) % 2 == 0:
                raise ModelFormatError(f"{len(voters)} members judge {category!r} and could tie; give an odd number")
        self.digest = digest or json_digest(sorted(member.digest for member in members))

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """Return one sighting for each picture. Raises ConceptError on what a voting member cannot judge."""
        refuse_unfit(pictures, concepts, category, self.categories)
        return self.look_for_any(pictures, [[concept] for concept in concepts], category)

    def look_for_any(self, pictures: np.ndarray, names: Sequence[Sequence[str]], category: str) -> list[Sighting]:
        """Return the sightings as `look_for_any` below does, with each member's answer given before the vote.

        One member may know by an alias what another knows by its name.
        """
        refuse_unknown("category", [category], self.categories)
        answers = [look_for_any(voter, pictures, names, category) for voter in self._voters[category]]
        return [_vote(votes) for votes in zip(*answers, strict=True)]


def look_for_any(judge: Judge, pictures: np.ndarray, names: Sequence[Sequence[str]], category: str) -> list[Sighting]:
    """Return one sighting for each picture: the best by any of the names that its concept is known by."""
    if isinstance(judge, LooksForAny):
        return judge.look_for_any(pictures, names, category)
    asked = [(place, name) for place, own in enumerate(names) for name in own]
    found = judge.look(pictures[[place for place, _ in asked]], [name for _, name in asked], category)
    best: dict[int, Sighting] = {}
    for (place, _), sighting in zip(asked, found, strict=True):
        best[place] = max(best.get(place, sighting), sighting, key=lambda one: (one.seen, one.score))
    return [best[place] for place in range(len(names))]


def _vote(votes: Sequence[Sighting]) -> Sighting:
    ayes = sum(vote.seen for vote in votes)
    return Sighting(seen=2 * ayes > len(votes), score=sum(vote.score for vote in votes) / len(votes))


def _open(folder: Path, device: str) -> Ensemble:
    members = [open_judge(folder / member, device) for member in read_card(folder).members]
    return Ensemble(members, folder_digest(folder))


def _knows(folder: Path, card: Card) -> Known:
    return known_to_all([known(folder / member) for member in card.members])


JUDGE = Kind("ensemble", _open, _knows, needs=frozenset({"members"}))
"""`members` are the names of folders inside this one."""
