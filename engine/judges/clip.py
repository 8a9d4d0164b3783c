"""Zero-shot judging with any `CLIPModel` folder: the label with the highest similarity is what the picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from engine.features import ClipNetwork
from engine.judges.base import Sighting, likeliest, refuse_unknown
from engine.judges.card import LABELS, read_json


class ClipJudge:
    """A CLIP folder (model, tokenizer, image processor) beside a `labels.json`.

    `labels.json` holds, for each category, the rival `labels` among which the judge chooses and the `wordings` (with
    `{}` for the label) whose text features are averaged. A concept that is not among its category's labels joins them.
    """

    version = "clip/1"
    threshold = None

    def __init__(self, folder: Path, batch: int = 64, device: str | torch.device = "cpu") -> None:
        self._labels: dict[str, dict[str, list[str]]] = read_json(folder / LABELS)
        self._network = ClipNetwork(folder, batch, device)
        self.digest = self._network.digest
        self.categories = frozenset(self._labels)
        self._text = lru_cache(maxsize=None)(self._text_features)

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """One sighting a picture, uint8 [n, height, width, 3]; ConceptError if the judge knows no such category."""
        refuse_unknown("category", [category], self.categories)
        known = self._labels[category]["labels"]
        labels = [*known, *dict.fromkeys(concept for concept in concepts if concept not in known)]
        return likeliest(self.probabilities(pictures, labels, category), labels, concepts)

    def probabilities(self, pictures: np.ndarray, labels: Sequence[str], category: str) -> np.ndarray:
        """Softmax over `labels` for each picture, float32 [n, labels]."""
        if not len(pictures):
            return np.zeros((0, len(labels)), np.float32)
        text = torch.stack([self._text(label, category) for label in labels])
        return (self._network.scale * self._network.pictures(pictures) @ text.T).softmax(-1).numpy()

    def _text_features(self, label: str, category: str) -> Tensor:
        wordings = [wording.format(label) for wording in self._labels[category]["wordings"]]
        return normalize(self._network.texts(wordings).mean(0), dim=-1)
