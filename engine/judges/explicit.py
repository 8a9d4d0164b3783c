"""Explicit content by a classifier of one's own choice, against a recorded threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.base import Sighting, from_scores, refuse_unfit, refuse_unknown
from expunge.engine.judges.card import Card, Kind, Known, read_card
from expunge.engine.judges.classifier import PictureClassifier


class ExplicitClassifier:
    """A classifier beside a `judge.json` that says which of its labels add up to a concept, and from what on."""

    categories = frozenset({"explicit"})

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        card = read_card(folder)
        self.digest, self._concepts = folder_digest(folder), card.concepts
        self._threshold = card.threshold
        self._classifier = PictureClassifier(folder, device)
        for labels in card.concepts.values():
            refuse_unknown("label", labels, self._classifier.labels)

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """Return sightings scored by the probability of all the concept's labels.

        Raises ConceptError on a concept that `judge.json` does not name.
        """
        refuse_unfit(pictures, concepts, category, self.categories)
        refuse_unknown("concept", concepts, self._concepts)
        chances, labels = self._classifier.probabilities(pictures), self._classifier.labels
        chosen = np.array([[label in self._concepts[concept] for label in labels] for concept in concepts])
        return from_scores((chances * chosen.reshape(chances.shape)).sum(1).clip(0, 1), self._threshold)


def _knows(folder: Path, card: Card) -> Known:
    return {"explicit": frozenset(card.concepts)}


JUDGE = Kind("explicit-classifier", ExplicitClassifier, _knows, needs=frozenset({"threshold", "concepts"}))
"""`concepts` holds for each concept the labels whose probabilities are added up."""
