"""Judging with any image classifier in transformers layout: a picture shows the likeliest of its own labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from expunge.engine.errors import MissingExtra, ModelFormatError
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.base import Sighting, likeliest, refuse_unfit, refuse_unknown
from expunge.engine.judges.card import Card, Kind, Known, read_card
from expunge.engine.judges.networks.clip_features import BATCH
from expunge.engine.linalg import steady
from expunge.engine.spec import spoken
from expunge.engine.stats.evidence.table import NOTHING


class PictureClassifier:
    """An `AutoModelForImageClassification` folder; what timm's `save_for_hf` wrote opens where timm is installed.

    Raises ModelFormatError unless its labels are distinct and exclude each other.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        options: Any = {"local_files_only": True}
        try:
            model = AutoModelForImageClassification.from_pretrained(
                folder, config=_config(folder, options), use_safetensors=True, dtype=torch.float32, **options
            )
            self._processor = AutoImageProcessor.from_pretrained(folder, **options)
        except ImportError as error:
            raise MissingExtra(f"{folder} needs a library that is not installed: {error}") from error
        except (OSError, ValueError) as error:
            raise ModelFormatError(f"{folder} holds no classifier with safetensors and a processor: {error}") from error
        self._model = model.eval().to(device)
        self._device = device
        names = model.config.id2label
        self.labels = [names[place] for place in range(len(names))]
        if len(set(self.labels)) != len(self.labels):
            raise ModelFormatError(f"{folder / 'config.json'}: id2label repeats a name; an exact match needs each once")
        if model.config.problem_type == "multi_label_classification":
            raise ModelFormatError(f"{folder} gives a picture several labels; use a classifier that gives it one")

    @steady
    @torch.no_grad()
    def probabilities(self, pictures: np.ndarray, among: Sequence[str] | None = None) -> np.ndarray:
        """Return the softmax over the labels `among`, by default over all, float32 [n, labels], for each picture.

        It is the same on any number of threads.
        """
        places = [self.labels.index(label) for label in (self.labels if among is None else among)]
        rows = [torch.zeros(0, len(places))]
        for start in range(0, len(pictures), BATCH):
            block = list(pictures[start : start + BATCH])
            pixels = self._processor(block, return_tensors="pt")["pixel_values"]
            rows.append(self._model(pixel_values=pixels.to(self._device)).logits.float()[:, places].softmax(-1).cpu())
        return torch.cat(rows).numpy()


def _config(folder: Path, options: dict[str, Any]) -> Any:
    """Return the classifier's configuration.

    timm states the number of classes twice, and transformers would pass both.
    """
    config = AutoConfig.from_pretrained(folder, **options)
    if stated := getattr(config, "model_args", None):
        config.model_args = {name: value for name, value in stated.items() if name != "num_classes"}
    return config


class ClassifierJudge:
    """A classifier beside a `judge.json` that names the categories its labels are; it knows no other concept.

    Where the card gives each category labels of its own, the judge chooses among these alone, and among them and the
    label for pictures of nothing, if the card names one.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        card = read_card(folder)
        self.digest = folder_digest(folder)
        self.categories = frozenset(card.categories)
        self._classifier = PictureClassifier(folder, device)
        self.recognises = bool(card.nothing)
        self._nothing, self._labels = card.nothing, {name: self._among(card, name) for name in card.categories}

    def _among(self, card: Card, category: str) -> list[str]:
        """Return the labels of a category, with that for nothing last.

        Raises ModelFormatError on a label that the classifier lacks.
        """
        own = card.labels.get(category, self._classifier.labels)
        among = [*(label for label in own if label != card.nothing), *([card.nothing] if card.nothing else [])]
        if unknown := sorted(set(among) - set(self._classifier.labels)):
            raise ModelFormatError(
                f"judge.json of {category!r} names {unknown[0]!r}, which is no label of the classifier"
            )
        return among

    def knows(self, concept: str, category: str) -> bool:
        """Tell whether the concept is one of its labels, however capitals and spaces are written."""
        return spoken(concept) in {spoken(label) for label in self._labels.get(category, ()) if label != self._nothing}

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """One sighting a picture, uint8 [n, height, width, 3]; ConceptError on a category or label it lacks."""
        refuse_unfit(pictures, concepts, category, self.categories)
        labels = self._labels[category]
        own = {spoken(label): label for label in labels}
        concepts = [own.get(spoken(concept), concept) for concept in concepts]
        refuse_unknown("label", concepts, [label for label in labels if label != self._nothing])
        found = likeliest(self._classifier.probabilities(pictures, labels), labels, concepts)
        return [replace(one, shows=NOTHING) if one.shows == self._nothing else one for one in found]


def _labels(folder: Path) -> frozenset[str]:
    try:
        return frozenset((AutoConfig.from_pretrained(folder, local_files_only=True).id2label or {}).values())
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{folder} holds no classifier that transformers can open: {error}") from error


def _knows(folder: Path, card: Card) -> Known:
    return {name: frozenset(card.labels.get(name) or _labels(folder)) for name in card.categories}


JUDGE = Kind("classifier", ClassifierJudge, _knows, needs=frozenset({"categories"}), optional=frozenset({"nothing"}))
"""`categories` are the kinds of concept its labels are, or the labels of each kind; `nothing`, if it has one, is the
label of pictures that show nothing."""
