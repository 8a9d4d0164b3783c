"""A judge's own error: counted as it is, kept under the judge's digest, and never read for another judge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expunge.engine.emoji import JUDGE
from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.emoji.training import pictures
from expunge.engine.emoji.training.samples import clean_pictures
from expunge.engine.errors import DigestMismatch
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges import Sighting, error
from expunge.engine.stats.verdict import AS_TARGET, JudgeError


class ByColour:
    """Knows red from green by the mean colour, and takes every dark picture for red: an error that can be counted."""

    digest, categories = "colour", frozenset({"object"})

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        names = ["green" if picture[..., 1].mean() > 60 else "red" for picture in pictures]
        return [
            Sighting(name == concept, float(name == concept)) for name, concept in zip(names, concepts, strict=True)
        ]


def patch(colour: tuple[int, int, int]) -> np.ndarray:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = colour
    return picture


RED, GREEN, DIM_GREEN = patch((250, 0, 0)), patch((0, 250, 0)), patch((0, 60, 0))


def test_misses_and_false_alarms_are_counted() -> None:
    shown = np.stack([RED, RED, GREEN, DIM_GREEN])
    found = error.measure(ByColour(), shown, ["red", "red", "green", "green"], "object")
    assert found == JudgeError(hits=3, labelled=4, false_alarms=1, negatives=4)


def test_rivals_can_be_named_and_are_never_the_label() -> None:
    shown = np.stack([RED, GREEN])
    found = error.measure(ByColour(), shown, ["red", "green"], "object", ["green", "blue"])
    assert found == JudgeError(hits=2, labelled=2, false_alarms=0, negatives=2)
    with pytest.raises(ValueError, match="own label as its rival"):
        error.measure(ByColour(), shown, ["red", "green"], "object", ["green", "green"])


def test_one_label_or_a_black_picture_proves_nothing() -> None:
    with pytest.raises(ValueError, match="two labels or more"):
        error.measure(ByColour(), np.stack([RED]), ["red"], "object")
    with pytest.raises(ValueError, match="picture 1 is a black picture"):
        error.measure(ByColour(), np.stack([RED, np.zeros_like(RED)]), ["red", "green"], "object")


def test_a_judge_of_one_label_is_asked_for_it_of_pictures_that_show_something_else() -> None:
    """As one for explicit content, or for one face, is: it refuses to be asked for anything else."""

    class OfRed(ByColour):
        def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
            assert set(concepts) == {"red"}
            return super().look(pictures, concepts, category)

    shown, labels = np.stack([RED, RED, GREEN, DIM_GREEN]), ["red", "red", "other", "other"]
    found = error.measure(OfRed(), shown, labels, "object", known={"red"})
    assert found == JudgeError(hits=2, labelled=2, false_alarms=1, negatives=2)
    with pytest.raises(ValueError, match=r"knows none of \['harmless', 'other'\]; it knows \['red'\]"):
        error.measure(OfRed(), shown, ["other", "other", "harmless", "harmless"], "object", known={"red"})


def test_what_cannot_be_measured_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "panda").mkdir()
    Image.fromarray(RED).save(tmp_path / "panda" / "1.png")
    monkeypatch.setattr("sys.argv", ["error", str(JUDGE), "object", str(tmp_path)])
    with pytest.raises(SystemExit):
        error.main()
    assert "give pictures of two labels or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "known", "other", "match"),
    [
        (["red", "gren"], ["red", "green"], [], r"no label 'gren': rename that folder to one of \['green', 'red'\]"),
        (["red", "gren"], ["red", "green"], ["grey"], "--other 'grey': there is no such folder"),
        (["red", "green"], ["red", "green"], ["green"], "--other 'green': that is what the judge sees"),
    ],
)
def test_a_misspelt_folder_is_not_taken_for_pictures_of_something_else(
    labels: list[str], known: list[str], other: list[str], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        error.check_labels(labels, known, other)


def test_a_folder_may_show_something_else_where_that_is_said() -> None:
    error.check_labels(["red", "grey"], ["red"], ["grey"])
    error.check_labels(["red", "anything"], None, [])


@pytest.mark.parametrize("counts", [(2, 1, 0, 1), (1, 1, 2, 1), (-1, 1, 0, 1), (1, 1, -1, 1)])
def test_counts_outside_their_whole_are_refused(counts: tuple[int, int, int, int]) -> None:
    JudgeError(1, 1, 0, 1)
    with pytest.raises(ValueError, match="below 0 or above its whole"):
        JudgeError(*counts)


def test_errors_are_kept_beside_the_judge_under_its_digest(tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "judge.json").write_text("{}")
    assert error.read(folder) == {}
    found = {"object": JudgeError(9, 10, 1, 10, "ten pictures"), "target/object": JudgeError(8, 10, 2, 10, "half")}
    path = error.write(folder, found)
    assert path == tmp_path / "judge_error.json"
    assert error.read(folder) == found
    (folder / "judge.json").write_text("{} ")
    with pytest.raises(DigestMismatch, match="measure this judge's error"):
        error.read(folder)


def test_labelled_pictures_are_read_from_folders(tmp_path: Path) -> None:
    for name, picture in (("red", RED), ("green", GREEN)):
        (tmp_path / name).mkdir()
        Image.fromarray(picture).save(tmp_path / name / "1.png")
    shown, labels = error.labelled(tmp_path)
    assert labels == ["green", "red"]
    assert np.array_equal(shown, np.stack([GREEN, RED]))


def test_the_command_measures_a_folder_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = shutil.copytree(JUDGE, tmp_path / "judge")
    names = ("banana", "guitar")
    for item, row in zip(OBJECTS, pictures.load(), strict=True):
        if item.name in names:
            (tmp_path / "shown" / item.name).mkdir(parents=True)
            for look, picture in zip(STYLES, row, strict=True):
                Image.fromarray(picture).save(tmp_path / "shown" / item.name / f"{look.name}.png")
    monkeypatch.setattr("sys.argv", ["error", str(judge), "object", str(tmp_path / "shown")])
    error.main()
    assert error.read(judge)["object"].labelled == 2 * len(STYLES)
    assert error.read(judge)["object"].hits >= 2 * len(STYLES) - 2


def test_the_built_in_questions_never_ask_for_what_is_shown() -> None:
    for labels, rivals in clean_pictures.questions().values():
        assert len(labels) == len(rivals) == len(OBJECTS) * len(STYLES)
        assert all(label != rival for label, rival in zip(labels, rivals, strict=True))


def test_the_built_in_judges_error_is_its_own_and_small() -> None:
    stored = error.read(JUDGE)
    assert stored.keys() == {"object", "style", "target/object", "target/style"}
    for category, found in stored.items():
        is_clean = not category.startswith(AS_TARGET)
        assert ("half-erased" in found.pictures) != is_clean
        assert found.labelled >= (len(OBJECTS) * len(STYLES) if is_clean else 100)
        assert found.hits >= (0.85 if is_clean else 0.8) * found.labelled
        assert found.false_alarms <= (0.03 if is_clean else 0.15) * found.negatives


def test_an_error_of_before_pictures_were_named_for_each_is_read(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    counts = {"hits": 9, "labelled": 10, "false_alarms": 1, "negatives": 10}
    old = {"judge": folder_digest(tmp_path / "judge"), "pictures": "ten pictures", "errors": {"object": counts}}
    (tmp_path / "judge_error.json").write_text(json.dumps(old))
    assert error.read(tmp_path / "judge") == {"object": JudgeError(9, 10, 1, 10, "ten pictures")}
