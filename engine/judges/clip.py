"""Zero-shot judging with any `CLIPModel` folder: the label with the highest similarity is what the picture shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from engine.judges.base import Sighting
from engine.model import folder_digest

LABELS = "labels.json"


class ClipJudge:
    """A CLIP folder (model, tokenizer, image processor) beside a `labels.json`.

    `labels.json` holds, for each category, the rival `labels` among which the judge chooses and the `wordings` (with
    `{}` for the label) whose text features are averaged. A concept that is not among its category's labels joins them.
    """

    def __init__(self, folder: Path, batch: int = 64) -> None:
        self.digest = folder_digest(folder)
        self._labels: dict[str, dict[str, list[str]]] = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        self._model = CLIPModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        ).eval()
        self._tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        self._processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        self._batch = batch
        self._text = lru_cache(maxsize=None)(self._text_features)

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """One sighting a picture, uint8 [n, height, width, 3]; KeyError if the judge knows no such category."""
        known = self._labels[category]["labels"]
        labels = [*known, *dict.fromkeys(concept for concept in concepts if concept not in known)]
        chances = self.probabilities(pictures, labels, category)
        places = [labels.index(concept) for concept in concepts]
        return [
            Sighting(seen=int(row.argmax()) == place, score=float(row[place]))
            for row, place in zip(chances, places, strict=True)
        ]

    @torch.no_grad()
    def probabilities(self, pictures: np.ndarray, labels: Sequence[str], category: str) -> np.ndarray:
        """Softmax over `labels` for each picture, float32 [n, labels]."""
        text = torch.stack([self._text(label, category) for label in labels])
        rows = []
        for start in range(0, len(pictures), self._batch):
            pixels = self._processor(list(pictures[start : start + self._batch]), return_tensors="pt").pixel_values
            image = self._model.visual_projection(self._model.vision_model(pixel_values=pixels).pooler_output)
            logits = self._model.logit_scale.exp() * torch.nn.functional.normalize(image, dim=-1) @ text.T
            rows.append(logits.softmax(-1))
        return torch.cat(rows).numpy() if rows else np.zeros((0, len(labels)), np.float32)

    @torch.no_grad()
    def _text_features(self, label: str, category: str) -> Tensor:
        wordings = [wording.format(label) for wording in self._labels[category]["wordings"]]
        tokens = self._tokenizer(wordings, padding=True, truncation=True, return_tensors="pt")
        text = self._model.text_projection(self._model.text_model(**tokens).pooler_output)
        mean = torch.nn.functional.normalize(text, dim=-1).mean(0)
        return torch.nn.functional.normalize(mean, dim=-1)
