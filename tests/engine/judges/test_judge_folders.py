"""Judges by folder: each kind opens from its card, knows what it can judge, and refuses the rest before a look."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.numpy import save_file
from timm.data import create_transform, resolve_model_data_config
from timm.models import save_for_hf
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from expunge.engine.emoji import CLIP_JUDGE, JUDGE
from expunge.engine.emoji.catalogue import OBJECTS
from expunge.engine.emoji.training import pictures
from expunge.engine.errors import ConceptError, EngineError, MissingExtra, ModelFormatError
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges import (
    ClipJudge,
    Ensemble,
    Judge,
    Panel,
    Sighting,
    categories,
    clip_of,
    error,
    known,
    look_for_any,
    open_judge,
)
from expunge.engine.judges.card import names, read_card
from expunge.engine.judges.classifier import ClassifierJudge
from expunge.engine.judges.explicit import ExplicitClassifier
from expunge.engine.judges.face import FaceJudge, reference
from expunge.engine.judges.nudenet import WEIGHTS, make_folder
from expunge.engine.stats.verdict import JudgeError

SIDE = 16
LABELS = ("red", "green", "blue")


def tinted(channel: int) -> np.ndarray:
    """A checked picture in one colour."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[::2, ::2, channel] = 255
    return picture


RED, GREEN, BLUE = (tinted(channel) for channel in range(3))


def card(folder: Path, **fields: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "judge.json").write_text(json.dumps(fields))
    return folder


def tune(forward: Any, weights: Any, pixels: torch.Tensor, shown: torch.Tensor, steps: int, rate: float) -> None:
    optimiser = torch.optim.Adam(weights, rate)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(forward(pixels), shown)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def classifier(folder: Path, labels: Sequence[str] = LABELS) -> Path:
    """A real ViT classifier, tuned in a second to tell three colours."""
    torch.manual_seed(0)
    model: Any = ViTForImageClassification(
        ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=SIDE,
            patch_size=8,
            id2label=dict(enumerate(labels)),
            label2id={label: place for place, label in enumerate(labels)},
        )
    )
    processor = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    shown = torch.tensor([0, 1, 2])
    pixels = processor([RED, GREEN, BLUE], return_tensors="pt")["pixel_values"]
    tune(lambda pixels: model(pixel_values=pixels).logits, model.parameters(), pixels, shown, 25, 1e-2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = classifier(tmp_path_factory.mktemp("colours"))
    return card(folder, kind="classifier", categories=["object"])


def test_the_built_in_folder_is_a_panel_of_a_clip_and_a_network_of_another_kind() -> None:
    judge = open_judge(JUDGE)
    assert isinstance(judge, Panel)
    assert [type(member) for member in judge.members] == [ClipJudge, ClassifierJudge]
    assert clip_of(judge) is judge.members[0]
    assert categories(JUDGE) == judge.categories == {"object", "style"}
    assert names(JUDGE) == names(CLIP_JUDGE), "both know the same"
    assert judge.digest == folder_digest(JUDGE)
    with pytest.raises(ConceptError, match="no category 'identity'; use one of object, style"):
        judge.look(pictures.load()[0, :1], ["Jane Doe"], "identity")


def test_a_classifier_sees_the_likeliest_of_its_own_labels(colours: Path) -> None:
    judge = open_judge(colours)
    assert isinstance(judge, ClassifierJudge)
    seen = judge.look(np.stack([RED, GREEN, BLUE, RED]), [*LABELS, "blue"], "object")
    assert [sighting.seen for sighting in seen] == [True, True, True, False]
    assert judge.look(np.zeros((0, SIDE, SIDE, 3), np.uint8), [], "object") == []


def test_what_a_classifier_knows_is_read_without_weights_and_matched_exactly(colours: Path) -> None:
    (weights,) = colours.glob("*.safetensors")
    hidden = weights.rename(weights.with_suffix(".hidden"))
    assert known(colours) == {"object": frozenset(LABELS)}
    hidden.rename(weights)
    judge = open_judge(colours)
    with pytest.raises(ConceptError, match="no label 're'; use one of blue, green, red"):
        judge.look(RED[None], ["re"], "object")
    with pytest.raises(ConceptError, match="no category 'style'"):
        judge.look(RED[None], ["red"], "style")


def test_the_error_of_a_classifier_is_not_counted_over_a_misspelt_folder(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = shutil.copytree(colours, tmp_path / "judge")
    for name, picture in {"red": RED, "grene": GREEN}.items():
        (tmp_path / "shown" / name).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "shown" / name / "1.png")
    command = ["error", str(judge), "object", str(tmp_path / "shown")]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit):
        error.main()
    assert "no label 'grene': rename that folder to one of ['blue', 'green', 'red']" in capsys.readouterr().err
    assert error.read(judge) == {}
    monkeypatch.setattr("sys.argv", [*command, "--other", "grene"])
    error.main()
    assert error.read(judge) == {"object": JudgeError(1, 1, 0, 1, "2 pictures in shown")}


def test_an_explicit_classifier_adds_up_labels_against_its_threshold(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "explicit")
    card(folder, kind="explicit-classifier", threshold=0.6, concepts={"nudity": ["green", "blue"]})
    judge = open_judge(folder)
    assert isinstance(judge, ExplicitClassifier)
    assert categories(folder) == {"explicit"}
    shown = np.stack([RED, GREEN, BLUE])
    found = judge.look(shown, ["nudity"] * 3, "explicit")
    assert [sighting.seen for sighting in found] == [False, True, True]
    assert all(sighting.seen == (sighting.score >= 0.6) for sighting in found)
    with pytest.raises(ConceptError, match="no concept 'nude'"):
        judge.look(shown[:1], ["nude"], "explicit")
    with pytest.raises(ConceptError, match="no label 'porn'"):
        open_judge(card(folder, kind="explicit-classifier", threshold=0.6, concepts={"nudity": ["porn"]}))


@pytest.mark.parametrize("image_size", [64, 96])
def test_a_classifier_that_timm_saved_sees_what_timm_sees(tmp_path: Path, image_size: int) -> None:
    objects = [item.name for item in OBJECTS[:3]]
    shown = pictures.load()[: len(objects)].reshape(-1, 64, 64, 3)
    truth = torch.arange(len(objects)).repeat_interleave(len(shown) // len(objects))
    torch.manual_seed(0)
    size = {"input_size": (3, image_size, image_size)}
    model = timm.create_model("test_resnet", num_classes=len(objects), pretrained_cfg_overlay=size)
    prepare: Any = create_transform(**resolve_model_data_config(model), is_training=False)
    pixels = torch.stack([prepare(Image.fromarray(picture)) for picture in shown])
    tune(model, model.parameters(), pixels, truth, 30, 1e-3)
    save_for_hf(model.eval(), str(tmp_path), model_config={"label_names": objects}, safe_serialization=True)
    judge: Any = open_judge(card(tmp_path, kind="classifier", categories=["object"]))
    assert known(tmp_path) == {"object": frozenset(objects)}
    with torch.no_grad():
        chances = model(pixels).softmax(-1).numpy()
    named, other = ([objects[(place + step) % len(objects)] for place in truth.tolist()] for step in (0, 1))
    found = judge.look(shown, named, "object")
    assert [sighting.score for sighting in found] == pytest.approx(chances[np.arange(len(shown)), truth], abs=1e-3)
    assert all(sighting.seen for sighting in found)
    assert not any(sighting.seen for sighting in judge.look(shown, other, "object"))


@pytest.mark.parametrize(("labels", "config", "why"), [
    (("red", "red", "blue"), {}, "repeats a name"),
    (LABELS, {"problem_type": "multi_label_classification"}, "several labels"),
])  # fmt: skip
def test_a_classifier_without_one_label_a_picture_is_refused(
    tmp_path: Path, labels: Sequence[str], config: dict, why: str
) -> None:
    folder = tmp_path / "judge"
    made: Any = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=16)
    made.update({"id2label": dict(enumerate(labels)), **config})
    ViTForImageClassification(made).save_pretrained(folder)
    ViTImageProcessor().save_pretrained(folder)
    with pytest.raises(ModelFormatError, match=why):
        open_judge(card(folder, kind="classifier", categories=["object"]))


@pytest.mark.parametrize(("fields", "why"), [
    ({}, "kind is None"),
    ({"kind": "oracle"}, "kind is 'oracle'; use one of classifier, clip"),
    ({"kind": "classifier"}, "a classifier has categories"),
    ({"kind": "classifier", "categories": ["object"], "treshold": 0.5}, "found categories, kind, treshold"),
    ({"kind": "classifier", "categories": "object"}, "categories is 'object'; it must be a list"),
    ({"kind": "face", "threshold": 1.5}, "threshold is 1.5; it must be a number above 0"),
    ({"kind": "face", "threshold": float("nan")}, "threshold is nan|cannot be read as JSON"),
    ({"kind": "ensemble", "members": ["../elsewhere"]}, "folders inside this one"),
])  # fmt: skip
def test_a_card_that_does_not_say_what_it_must_is_refused(tmp_path: Path, fields: dict, why: str) -> None:
    with pytest.raises(ModelFormatError, match=why):
        categories(card(tmp_path / "judge", **fields))


def test_a_folder_without_a_card_or_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"judge\.json cannot be read"):
        open_judge(tmp_path)
    with pytest.raises(EngineError):
        open_judge(card(tmp_path / "empty", kind="classifier", categories=["object"]))


def corners(picture: np.ndarray) -> np.ndarray:
    """A stand-in embedder whose geometry is plain: each bright corner is a face, named by its colour's direction."""
    found = [picture[y, x].astype(np.float64) for y in (0, -1) for x in (0, -1) if picture[y, x].any()]
    return np.array(found).reshape(-1, 3)


def crowd(*colours: tuple[int, int, int]) -> np.ndarray:
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for (y, x), colour in zip(((0, 0), (0, -1), (-1, 0)), colours, strict=False):
        picture[y, x] = colour
    return picture


def test_a_face_is_recognised_by_the_cosine_of_any_face_to_any_reference() -> None:
    ann = reference(corners, [crowd((200, 0, 0)), crowd((0, 100, 0))])
    judge = FaceJudge(corners, {"Ann": ann, "Bob": np.array([[0.0, 0.0, 9.0]])}, threshold=0.7)
    shown = [crowd((50, 0, 0)), crowd((0, 0, 80), (0, 40, 0)), crowd((0, 0, 90)), crowd(), crowd((100, 100, 0))]
    found = judge.look(np.stack(shown), ["Ann"] * 5, "identity")
    assert [sighting.seen for sighting in found] == [True, True, False, False, True]
    assert [round(sighting.score, 4) for sighting in found] == [1.0, 1.0, 0.0, 0.0, 0.7071]
    strict = FaceJudge(corners, {"Ann": ann}, threshold=0.72)
    assert not strict.look(np.stack(shown[-1:]), ["Ann"], "identity")[0].seen
    assert strict.digest != FaceJudge(corners, {"Ann": ann}, threshold=0.7).digest
    with pytest.raises(ConceptError, match="no person 'ann'; use one of Ann, Bob"):
        judge.look(shown[0][None], ["ann"], "identity")


def test_references_show_one_face_each() -> None:
    with pytest.raises(ConceptError, match="reference picture 2 shows 2 faces"):
        reference(corners, [crowd((1, 1, 1)), crowd((1, 1, 1), (2, 2, 2))])
    with pytest.raises(ConceptError, match="reference picture 1 shows 0 faces"):
        reference(corners, [crowd()])
    with pytest.raises(ConceptError, match="zero or not finite"):
        FaceJudge(corners, {"Ann": np.array([[np.nan, 1.0]])}, threshold=0.7)


def test_a_face_folder_names_its_people_and_what_it_lacks(tmp_path: Path) -> None:
    folder = card(tmp_path / "faces", kind="face", threshold=0.363)
    save_file({"Jane Doe": np.eye(2, dtype=np.float32)}, folder / "references.safetensors")
    assert known(folder) == {"identity": frozenset({"Jane Doe"})}
    with pytest.raises(ModelFormatError, match=r"mmod_human_face_detector\.dat is missing"):
        open_judge(folder)


@pytest.mark.skipif(find_spec("nudenet") is not None, reason="nudenet is installed")
def test_nudenet_missing_names_its_licence_and_the_cure(tmp_path: Path) -> None:
    folder = card(tmp_path / "n", kind="nudenet", threshold=0.6, version="3.4.2", concepts={"nudity": ["ANUS_EXPOSED"]})
    assert known(folder) == {"explicit": frozenset({"nudity"})}
    with pytest.raises(MissingExtra, match=r"AGPL-3.0.*pip install"):
        open_judge(folder)


@pytest.mark.skipif(find_spec("nudenet") is None, reason="the optional nudenet is not installed")
def test_nudenet_opens_from_a_folder_of_its_own_weights(tmp_path: Path) -> None:
    folder = tmp_path / "nudenet"
    make_folder(folder)
    judge = open_judge(folder)
    assert (read_card(folder).threshold, read_card(folder).version[:2]) == (0.6, "3.")
    assert (folder / WEIGHTS).stat().st_size > 1_000_000
    (sighting,) = judge.look(pictures.load()[:1, 0], ["nudity"], "explicit")
    assert not sighting.seen
    card(folder, **{**json.loads((folder / "judge.json").read_text()), "version": "3.0.0"})
    with pytest.raises(ModelFormatError, match=r"made for nudenet 3\.0\.0"):
        open_judge(folder)


class Says:
    """A member with a fixed answer, so that the votes can be counted."""

    def __init__(self, seen: bool, score: float, *kinds: str) -> None:
        self.digest, self.categories = f"{seen}/{score}", frozenset(kinds)
        self.answer = Sighting(seen, score)

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        return [self.answer] * len(pictures)


def vote(*members: Judge) -> Sighting:
    return Ensemble(members).look(RED[None], ["cat"], "object")[0]


def test_more_than_half_of_the_members_decide_and_the_score_is_their_mean() -> None:
    yes, no = Says(True, 0.9, "object"), Says(False, 0.3, "object")
    assert vote(yes, yes, no) == Sighting(True, pytest.approx(0.7))  # type: ignore[arg-type]
    assert vote(no, no, yes) == Sighting(False, pytest.approx(0.5))  # type: ignore[arg-type]
    with pytest.raises(ModelFormatError, match="2 members judge 'object' and could tie"):
        Ensemble([yes, no])


class Calls:
    """A member that takes every picture for one thing."""

    categories = frozenset({"object"})

    def __init__(self, name: str) -> None:
        self.digest = self.name = name

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        return [Sighting(name == self.name, float(name == self.name)) for name in concepts]


def test_members_that_call_one_thing_by_its_names_are_one_vote_for_it() -> None:
    team = Ensemble([Calls("taxi"), Calls("cab"), Calls("car")])
    (seen, unseen) = look_for_any(team, np.stack([RED] * 2), [["taxi", "cab"], ["taxi"]], "object")
    assert (seen.seen, unseen.seen) == (True, False)
    assert look_for_any(Calls("cab"), RED[None], [["taxi", "cab"]], "object")[0].seen


def test_members_vote_only_on_what_they_can_judge() -> None:
    team = Ensemble([Says(True, 1.0, "object"), Says(False, 0.0, "explicit")])
    assert team.categories == {"object", "explicit"}
    assert team.look(RED[None], ["cat"], "object")[0].seen
    assert not team.look(RED[None], ["nudity"], "explicit")[0].seen
    with pytest.raises(ConceptError, match="no category 'style'"):
        team.look(RED[None], ["noto"], "style")


def test_an_ensembles_digest_is_made_of_its_members_in_any_order() -> None:
    one, two, three = (Says(True, score, "object") for score in (0.1, 0.2, 0.3))
    assert Ensemble([one, two, three]).digest == Ensemble([three, one, two]).digest
    assert Ensemble([one, two, three]).digest != Ensemble([one, two, two]).digest


def test_an_ensemble_folder_knows_what_all_its_members_know(tmp_path: Path) -> None:
    folder = card(tmp_path / "team", kind="ensemble", members=["a", "b", "c"])
    for name, labels in (("a", LABELS), ("b", LABELS), ("c", ("red", "green", "white"))):
        card(classifier(folder / name, labels), kind="classifier", categories=["object"])
    assert known(folder) == {"object": frozenset({"red", "green"})}
    judge = open_judge(folder)
    assert judge.digest == folder_digest(folder)
    assert [sighting.seen for sighting in judge.look(np.stack([RED] * 2), ["red", "green"], "object")] == [
        True,
        False,
    ]
