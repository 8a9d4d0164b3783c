"""The judge: right on pictures it was never shown, blind to nothing, and never asked about a black picture."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.engine.emoji import CLIP_JUDGE
from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.emoji.training import pictures, quality
from expunge.engine.errors import ConceptError, ModelFormatError
from expunge.engine.judges import ClipJudge, fault
from expunge.engine.judges.card import known
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.probes import Subject
from expunge.engine.probes.answers import Answer, rows
from tests.engine import tiny


@pytest.fixture(scope="module")
def judge() -> ClipJudge:
    return ClipJudge(CLIP_JUDGE)


@pytest.fixture(scope="module")
def unseen() -> np.ndarray:
    """Every picture under one held-out augmentation, uint8 [objects * styles, 64, 64, 3]."""
    return quality.unseen()


def test_objects_and_styles_are_told_on_held_out_augmentations(judge: ClipJudge, unseen: np.ndarray) -> None:
    right = quality.top_1(judge, unseen)
    assert right["object"] >= 0.95
    assert right["style"] >= 0.95


def test_it_does_not_see_what_is_not_there(judge: ClipJudge, unseen: np.ndarray) -> None:
    others = [OBJECTS[(place + 7) % len(OBJECTS)].name for place in range(len(OBJECTS)) for _ in STYLES]
    assert np.mean([sighting.seen for sighting in judge.look(unseen, others, "object")]) <= 0.01


def test_a_concept_that_is_no_label_joins_the_labels(judge: ClipJudge, unseen: np.ndarray) -> None:
    (sighting,) = judge.look(unseen[:1], ["quasar"], "object")
    assert 0 <= sighting.score <= 1
    assert not sighting.seen


def test_a_label_is_known_however_it_is_written(judge: ClipJudge, unseen: np.ndarray) -> None:
    place = [item.name for item in OBJECTS].index("police car") * len(STYLES)
    shown = unseen[place : place + len(STYLES)]
    plain = judge.look(shown, ["police car"] * len(shown), "object")
    assert any(sighting.seen for sighting in plain)
    assert judge.look(shown, ["Police  CAR"] * len(shown), "object") == plain


def test_a_target_is_seen_by_any_name_that_the_judge_knows_it_by(judge: ClipJudge, unseen: np.ndarray) -> None:
    """A picture of a taxi is no car to the judge, but to a policy that erases cars, taxis among them."""
    place = [item.name for item in OBJECTS].index("taxi") * len(STYLES)
    car = Subject("car", "target", "object", "car", ("taxi",))
    for subject, most in ((car, 0.2), (replace(car, seen_as=("taxi",)), 1.0)):
        answers = [Answer(subject, "alias", "a taxi", n, unseen[place + n]) for n in range(len(STYLES))]
        seen = np.mean([row.seen for row in rows(judge, answers, "after")])
        assert seen <= most
    assert seen >= 0.8


@pytest.mark.parametrize(
    ("labels", "problem"), [([], "lists of texts"), (["fox"], "1 labels"), (["a", "A", "b"], "3 l")]
)
def test_a_judge_that_has_nothing_to_choose_from_is_refused(labels: list[str], problem: str, tmp_path: Path) -> None:
    """It would see in every picture whatever it is asked for."""
    other = shutil.copytree(CLIP_JUDGE, tmp_path / "judge")
    told = json.loads((other / "labels.json").read_text())
    told["character"] = {"labels": labels, "wordings": ["a {}"]}
    (other / "labels.json").write_text(json.dumps(told))
    for reading in (ClipJudge, known):
        with pytest.raises(ModelFormatError, match=f"'character' (has|needs) {problem}"):
            reading(other)


def test_an_answer_does_not_depend_on_what_else_is_asked(judge: ClipJudge, unseen: np.ndarray) -> None:
    """Strange names join for their own pictures alone: an alias of what is shown takes no other picture's answer."""
    known, strange = OBJECTS[0].name, [f"{OBJECTS[0].name} thing", "quasar", f"a {OBJECTS[0].name}"]
    asked = [known, *strange, known, strange[0]]
    pictures = unseen[: len(asked)]
    together = judge.look(pictures, asked, "object")
    alone = [judge.look(pictures[[place]], [concept], "object")[0] for place, concept in enumerate(asked)]
    assert [sighting.seen for sighting in together] == [sighting.seen for sighting in alone]
    assert np.allclose([sighting.score for sighting in together], [sighting.score for sighting in alone], atol=1e-5)
    assert together[0] == judge.look(pictures, [known] * len(asked), "object")[0]
    assert judge.look(pictures[:0], [], "object") == []


def test_scores_are_probabilities(judge: ClipJudge, unseen: np.ndarray) -> None:
    chances = judge.probabilities(unseen[:4], [item.name for item in STYLES], "style")
    assert np.allclose(chances.sum(1), 1, atol=1e-5)


def test_the_digest_covers_the_labels(judge: ClipJudge, tmp_path: Path) -> None:
    other = shutil.copytree(CLIP_JUDGE, tmp_path / "judge")
    labels = json.loads((other / "labels.json").read_text())
    labels["object"]["labels"].pop()
    (other / "labels.json").write_text(json.dumps(labels))
    assert ClipJudge(other).digest != judge.digest


def test_black_and_constant_pictures_are_faults() -> None:
    shape = (32, 32, 3)
    assert fault(np.zeros(shape, np.uint8)) == "black picture"
    assert fault(np.full(shape, 255, np.uint8)) == "constant picture"
    assert fault(np.full(shape, (250, 0, 0), np.uint8)) == "constant picture", "one colour, though its channels differ"


def test_faint_noise_and_hot_pixels_make_no_picture() -> None:
    grain = np.random.default_rng(0).normal(size=(32, 32, 3))
    assert fault((128 + 4 * grain).astype(np.uint8)) == "constant picture"
    assert fault((4 + 2 * grain).clip(0, 255).astype(np.uint8)) == "black picture"
    hot = np.zeros((32, 32, 3), np.uint8)
    hot[5, 5:14] = 255
    assert fault(hot) == "black picture"
    hot[5:7, 5:14] = 255
    assert fault(hot) == "", "2 % of the pixels are a drawing"


def test_numbers_that_are_none_are_faults() -> None:
    picture = pictures.load()[0, 0].astype(np.float32)
    assert fault(picture) == ""
    picture[3, 3, 0] = np.nan
    assert fault(picture) == "picture with NaN or infinity"


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_model_that_computes_nan_draws_a_fault(part: str) -> None:
    model = tiny.pipeline()
    shots, sampler = [Shot("a cat", 0)], Sampler(steps=2)
    assert fault(next(generate(model, shots, sampler))[1]) == ""
    weights = getattr(model, part)
    with torch.no_grad():
        (weights.decoder if part == "vae" else weights).conv_in.weight.view(-1)[0] = torch.nan
    assert fault(next(generate(model, shots, sampler))[1]) != ""


def test_no_built_in_picture_is_a_fault_not_even_the_line_drawings() -> None:
    assert {fault(picture) for picture in pictures.load().reshape(-1, pictures.SIDE, pictures.SIDE, 3)} == {""}


@pytest.mark.parametrize("concepts", ["taxi", ["taxi"]])
def test_a_judge_is_asked_for_one_concept_a_picture(concepts: list[str] | str) -> None:
    with pytest.raises(ConceptError, match=r"4 pictures and .*: give a list with one concept a picture"):
        ClipJudge(str(CLIP_JUDGE)).look(np.zeros((4, 64, 64, 3), np.uint8), concepts, "object")
