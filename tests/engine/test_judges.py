"""The judge: right on pictures it was never shown, blind to nothing, and never asked about a black picture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.emoji import JUDGE, pictures
from engine.emoji.catalogue import OBJECTS, STYLES
from engine.emoji.train_clip import augmented, drawn
from engine.judges import ClipJudge, fault

HELD_OUT = 20_261_124  # a seed that no training stage draws from


@pytest.fixture(scope="module")
def judge() -> ClipJudge:
    return ClipJudge(JUDGE)


@pytest.fixture(scope="module")
def unseen() -> np.ndarray:
    """Every picture under one held-out augmentation, uint8 [objects * styles, 64, 64, 3]."""
    generator = torch.Generator().manual_seed(HELD_OUT)
    moved = augmented(drawn().flatten(0, 1), generator)
    return ((moved.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def test_objects_are_told_on_held_out_augmentations(judge: ClipJudge, unseen: np.ndarray) -> None:
    names = [item.name for item in OBJECTS for _ in STYLES]
    assert np.mean([sighting.seen for sighting in judge.look(unseen, names, "object")]) >= 0.95


def test_styles_are_told_on_held_out_augmentations(judge: ClipJudge, unseen: np.ndarray) -> None:
    names = [item.name for _ in OBJECTS for item in STYLES]
    assert np.mean([sighting.seen for sighting in judge.look(unseen, names, "style")]) >= 0.95


def test_it_does_not_see_what_is_not_there(judge: ClipJudge, unseen: np.ndarray) -> None:
    others = [OBJECTS[(place + 7) % len(OBJECTS)].name for place in range(len(OBJECTS)) for _ in STYLES]
    assert np.mean([sighting.seen for sighting in judge.look(unseen, others, "object")]) <= 0.01


def test_a_concept_that_is_no_label_joins_the_labels(judge: ClipJudge, unseen: np.ndarray) -> None:
    (sighting,) = judge.look(unseen[:1], ["quasar"], "object")
    assert 0 <= sighting.score <= 1
    assert not sighting.seen


def test_scores_are_probabilities(judge: ClipJudge, unseen: np.ndarray) -> None:
    chances = judge.probabilities(unseen[:4], [item.name for item in STYLES], "style")
    assert np.allclose(chances.sum(1), 1, atol=1e-5)


def test_the_digest_covers_the_labels(judge: ClipJudge, tmp_path: Path) -> None:
    other = shutil.copytree(JUDGE, tmp_path / "judge")
    labels = json.loads((other / "labels.json").read_text())
    labels["object"]["labels"].pop()
    (other / "labels.json").write_text(json.dumps(labels))
    assert ClipJudge(other).digest != judge.digest


def test_black_and_constant_pictures_are_faults() -> None:
    shape = (8, 8, 3)
    assert fault(np.zeros(shape, np.uint8)) == "black picture"
    assert fault(np.full(shape, 255, np.uint8)) == "constant picture"
    assert fault(pictures.load()[0, 0]) == ""
