"""The face judge with real networks, dlib's, on two photographs that may be shown: Grace Hopper and Eileen Collins."""

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage.data import astronaut
from sklearn.datasets import load_sample_image

from expunge.engine.errors import ConceptError, MissingExtra, ModelFormatError
from expunge.engine.files.digests import folder_digest
from expunge.engine.judges import Judge, open_judge
from expunge.engine.judges.card import CARD, REFERENCES, known, read_card
from expunge.engine.judges.face import add
from expunge.engine.judges.networks import face_networks

HOPPER = np.asarray(Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)))[80:400, 100:420]
COLLINS = astronaut()[:320, 70:390]
FLOWER = load_sample_image("flower.jpg")[:320, :320]
BOTH = np.concatenate([HOPPER[:, 60:220], COLLINS[:, 60:220]], 1)
PEOPLE = {"Grace Hopper": HOPPER, "Eileen Collins": COLLINS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("judges") / "faces"
    for name, picture in PEOPLE.items():
        add(made, name, [picture])
    return made


@pytest.fixture(scope="module")
def judge(folder: Path) -> Judge:
    return open_judge(folder)


def otherwise(picture: np.ndarray) -> np.ndarray:
    """The same face mirrored, tilted, dimmed and in coarser pixels."""
    turned = Image.fromarray(picture[:, ::-1]).rotate(8, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128))
    coarse = turned.resize((240, 240)).resize(picture.shape[1::-1])
    return (np.asarray(coarse) * 0.75).astype(np.uint8)


@pytest.mark.parametrize("name", PEOPLE)
def test_a_person_is_seen_in_a_changed_picture_and_in_no_one_else(judge: Judge, name: str) -> None:
    (other,) = PEOPLE.keys() - {name}
    shown = np.stack([otherwise(PEOPLE[name]), BOTH, otherwise(PEOPLE[other]), FLOWER])
    found = judge.look(shown, [name] * len(shown), "identity")
    assert [sighting.seen for sighting in found] == [True, True, False, False]
    assert found[2].score > 0.5, "a face was found and is another's"
    assert found[3].score == 0, "no face was found"


def test_a_small_face_is_found_where_there_is_no_larger_one(judge: Judge) -> None:
    picture = np.full_like(COLLINS, 128)
    picture[:160, :160] = np.asarray(Image.fromarray(COLLINS).resize((160, 160), Image.Resampling.LANCZOS))
    (sighting,) = judge.look(picture[None], ["Eileen Collins"], "identity")
    assert sighting.seen


def test_a_folder_holds_all_that_the_judge_goes_by(folder: Path, judge: Judge) -> None:
    assert known(folder) == {"identity": frozenset(PEOPLE)}
    assert judge.digest == folder_digest(folder)
    assert read_card(folder).threshold == face_networks.DLIB.threshold
    assert {path.name for path in folder.iterdir()} == {*face_networks.DLIB.files, CARD, REFERENCES}


def test_a_reference_with_two_faces_changes_nothing(folder: Path) -> None:
    before = folder_digest(folder)
    with pytest.raises(ConceptError, match="reference picture 2 shows 2 faces"):
        add(folder, "Grace Hopper", [HOPPER, BOTH])
    assert folder_digest(folder) == before


def test_networks_are_held_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / face_networks.OPENCV.files[0]).touch()
    with pytest.raises(ModelFormatError, match=r"face_recognition_sface\.onnx is missing"):
        face_networks.fetch(tmp_path)


def test_what_is_not_installed_is_named_with_its_cure(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dlib", "face_recognition_models"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"dlib: `pip install 'expunge\[faces\]'`"):
        open_judge(folder)
    with pytest.raises(MissingExtra, match=r"`pip install 'expunge\[faces\]'`"):
        add(tmp_path / "new", "Grace Hopper", [HOPPER])
    assert not (tmp_path / "new").exists()
