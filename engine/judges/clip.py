"""Zero-shot judging with any `CLIPModel` folder: the label with the highest similarity is what the picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from expunge.engine.judges.base import Sighting, likeliest, refuse_unfit
from expunge.engine.judges.card import Card, Kind, Known, read_labels
from expunge.engine.judges.networks.clip_features import ClipNetwork
from expunge.engine.linalg import steady
from expunge.engine.spec import spoken


class ClipJudge:
    """A CLIP folder (model, tokenizer, image processor) beside a `labels.json`.

    `labels.json` holds, for each category, the rival `labels` among which the judge chooses and the `wordings` (with
    `{}` for the label) whose text features are averaged. A concept that is not among its category's labels joins them
    for the pictures that are asked for it, and for no others: an answer depends on nothing else that is asked at once.
    """

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        folder = Path(folder)
        self._labels = read_labels(folder)
        self.network = ClipNetwork(folder, device)
        self.digest = self.network.digest
        self.categories = frozenset(self._labels)
        self._text = lru_cache(maxsize=None)(self._text_features)

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """One sighting a picture, uint8 [n, height, width, 3]; ConceptError if the judge knows no such category.

        A label is known however its capitals and spaces are written.
        """
        refuse_unfit(pictures, concepts, category, self.categories)
        known = self._labels[category]["labels"]
        own = {spoken(label): label for label in known}
        concepts = [own.get(spoken(concept), concept) for concept in concepts]
        joining = list(dict.fromkeys(concept for concept in concepts if concept not in known))
        labels = [*known, *joining]
        logits = self._logits(pictures, labels, category)
        others = [[False] * len(known) + [label != concept for label in joining] for concept in concepts]
        logits[torch.tensor(others, dtype=torch.bool).reshape(logits.shape)] = -torch.inf
        return likeliest(logits.softmax(-1).numpy(), labels, concepts)

    def probabilities(self, pictures: np.ndarray, labels: Sequence[str], category: str) -> np.ndarray:
        """Softmax over `labels` for each picture, float32 [n, labels]."""
        return self._logits(pictures, labels, category).softmax(-1).numpy()

    @steady
    def _logits(self, pictures: np.ndarray, labels: Sequence[str], category: str) -> Tensor:
        if not len(pictures):
            return torch.zeros(0, len(labels))
        text = torch.stack([self._text(label, category) for label in labels])
        return self.network.scale * self.network.pictures(pictures) @ text.T

    def _text_features(self, label: str, category: str) -> Tensor:
        wordings = [wording.format(label) for wording in self._labels[category]["wordings"]]
        return normalize(self.network.texts(wordings).mean(0), dim=-1)


def _knows(folder: Path, card: Card) -> Known:
    return dict.fromkeys(read_labels(folder))


def _lists(folder: Path) -> dict[str, list[str]]:
    return {category: sorted(entry["labels"]) for category, entry in read_labels(folder).items()}


JUDGE = Kind("clip", ClipJudge, _knows, lists=_lists)
"""Its card has no further field; `labels.json` holds labels and wordings by category."""
