"""Identity by embedding: is one of the faces in a picture the face of the person asked for?

The geometry is here; an embedder finds the faces. The one offered reads OpenCV's two networks, which the user puts into
the judge's folder: YuNet finds faces (MIT), SFace embeds them (Apache-2.0, arXiv 2205.12010). OpenCV (Apache-2.0) is
not installed with this project. A person's reference embeddings are biometric data: the folder stays with whoever may
hold it, and only its digest is recorded.

    python -m engine.judges.face FOLDER NAME PICTURE...     adds a person's reference embeddings to the folder
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from engine.digests import json_digest
from engine.errors import ConceptError, MissingExtra, ModelFormatError
from engine.judges.base import Sighting, from_scores, refuse_unknown
from engine.judges.card import CARD, REFERENCES, read_card
from engine.model import folder_digest

THRESHOLD = 0.363  # the cosine that OpenCV states for SFace
SURE = 0.8  # the score from which YuNet's finding counts as a face
FINDER, EMBEDDER = "face_detection_yunet.onnx", "face_recognition_sface.onnx"
Embedder = Callable[[np.ndarray], np.ndarray]
"""From a picture, uint8 [height, width, 3], to the embeddings of its faces, float [faces, width]."""


class FaceJudge:
    """`references` are embeddings by name, float [pictures, width]; the digest, unless given, is made of them."""

    version = "face/1"
    categories = frozenset({"identity"})

    def __init__(
        self, embed: Embedder, references: Mapping[str, np.ndarray], threshold: float = THRESHOLD, digest: str = ""
    ) -> None:
        self._embed = embed
        self.threshold = threshold
        self._references = {name: unit(rows) for name, rows in references.items()}
        plain = {name: [[float(value) for value in row] for row in rows] for name, rows in self._references.items()}
        self.digest = digest or json_digest([self.version, threshold, plain])

    @classmethod
    def open(cls, folder: Path) -> FaceJudge:
        """The judge of a folder with a `judge.json`, references and OpenCV's two networks."""
        card = read_card(folder)
        return cls(opencv(folder), load_file(folder / REFERENCES), card.threshold, folder_digest(folder))

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """The score is the largest cosine of a face to a reference, 0 without a face or below; ConceptError on a
        category or a name without references."""
        refuse_unknown("category", [category], self.categories)
        refuse_unknown("person", concepts, self._references)
        scores = [
            similarity(self._embed(picture), self._references[concept])
            for picture, concept in zip(pictures, concepts, strict=True)
        ]
        return from_scores(np.array(scores).clip(0, 1), self.threshold)


def similarity(faces: np.ndarray, references: np.ndarray) -> float:
    """The largest cosine between any face and any unit reference, [faces, width] and [references, width]; 0 if none."""
    return float((unit(faces) @ references.T).max()) if len(faces) else 0.0


def unit(rows: np.ndarray) -> np.ndarray:
    """Each row scaled to length 1; ConceptError on a row that has no direction."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ConceptError("a face embedding is zero or not finite; embed the picture again, or leave it out")
    return rows / lengths


def reference(embed: Embedder, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """A person's embeddings, float32 [pictures, width], from pictures that show one face each; else ConceptError."""
    found = [embed(picture) for picture in pictures]
    for place, faces in enumerate(found):
        if len(faces) != 1:
            raise ConceptError(f"reference picture {place + 1} shows {len(faces)} faces; give one that shows one")
    return unit(np.concatenate(found)).astype(np.float32)


def opencv(folder: Path) -> Embedder:
    """OpenCV's YuNet and SFace from the folder; MissingExtra or ModelFormatError says what to install or to add."""
    try:
        cv2 = import_module("cv2")
    except ImportError as error:
        cure = '`pip install "opencv-python-headless>=4.10"`'
        raise MissingExtra(f"the face judge needs the library OpenCV (Apache-2.0): {cure}") from error
    for name in (FINDER, EMBEDDER):
        if not (folder / name).is_file():
            raise ModelFormatError(f"{folder / name} is missing; put OpenCV's {name.split('_')[2]} there by that name")
    finder = cv2.FaceDetectorYN.create(str(folder / FINDER), "", (0, 0), SURE)
    embedder = cv2.FaceRecognizerSF.create(str(folder / EMBEDDER), "")

    def embed(picture: np.ndarray) -> np.ndarray:
        turned = np.ascontiguousarray(picture[..., ::-1])  # OpenCV reads blue, green, red
        finder.setInputSize((picture.shape[1], picture.shape[0]))
        found = finder.detect(turned)[1]
        boxes = [] if found is None else found
        rows = [embedder.feature(embedder.alignCrop(turned, box)).reshape(-1).copy() for box in boxes]
        return np.stack(rows) if rows else np.zeros((0, 128), np.float32)

    return embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("pictures", type=Path, nargs="+")
    args = parser.parse_args()
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in args.pictures]
    stored = args.folder / REFERENCES
    references = load_file(stored) if stored.exists() else {}
    save_file({**references, args.name: reference(opencv(args.folder), pictures)}, stored)
    if not (args.folder / CARD).exists():
        card = {"kind": "face", "threshold": THRESHOLD}
        (args.folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
