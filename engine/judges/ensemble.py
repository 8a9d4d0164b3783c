"""Several judges, one answer: what more than half of them see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.digests import json_digest
from engine.errors import ModelFormatError
from engine.judges.base import Judge, Sighting, refuse_unfit


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
        """One sighting a picture; ConceptError on what a voting member cannot judge."""
        refuse_unfit(pictures, concepts, category, self.categories)
        answers = [voter.look(pictures, concepts, category) for voter in self._voters[category]]
        return [_vote(votes) for votes in zip(*answers, strict=True)]


def _vote(votes: Sequence[Sighting]) -> Sighting:
    ayes = sum(vote.seen for vote in votes)
    return Sighting(seen=2 * ayes > len(votes), score=sum(vote.score for vote in votes) / len(votes))
