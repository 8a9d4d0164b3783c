"""Identity by embedding: is one of the faces in a picture the face of the person asked for?

The geometry is here; the networks that find and embed faces are in the judge's folder (`face_networks.py`), which
`engine/judges/make.py` makes. A person's reference embeddings are biometric data: the folder stays with whoever may
hold it, and only its digest is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from expunge.engine.errors import ConceptError
from expunge.engine.files.digests import folder_digest, json_digest
from expunge.engine.judges.base import Sighting, from_scores, refuse_unfit, refuse_unknown
from expunge.engine.judges.card import CARD, REFERENCES, Card, Kind, Known, read_card
from expunge.engine.judges.networks.face_networks import Embedder, fetch, held


class FaceJudge:
    """`embed` finds the faces of a picture; `references` are embeddings by name, float [pictures, width].

    From the cosine `threshold` on two are one person's. The digest, unless given, is made of references and threshold.
    """

    categories = frozenset({"identity"})

    def __init__(
        self, embed: Embedder, references: Mapping[str, np.ndarray], threshold: float, digest: str = ""
    ) -> None:
        self._embed = embed
        self._threshold = threshold
        self._references = {name: unit(rows) for name, rows in references.items()}
        plain = {name: [[float(value) for value in row] for row in rows] for name, rows in self._references.items()}
        self.digest = digest or json_digest([threshold, plain])

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> FaceJudge:
        """Return the judge of a folder with a `judge.json`, references and networks.

        Raises MissingExtra or ModelFormatError.
        """
        card = read_card(folder)
        return cls(held(folder).opened(folder), load_file(folder / REFERENCES), card.threshold, folder_digest(folder))

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """Return sightings whose score is the largest cosine of a face to a reference, 0 without a face or below 0.

        Raises ConceptError on a category or a name without references.
        """
        refuse_unfit(pictures, concepts, category, self.categories)
        refuse_unknown("person", concepts, self._references)
        scores = [
            similarity(self._embed(picture), self._references[concept])
            for picture, concept in zip(pictures, concepts, strict=True)
        ]
        return from_scores(np.array(scores).clip(0, 1), self._threshold)


def similarity(faces: np.ndarray, references: np.ndarray) -> float:
    """Return the largest cosine of any face to any unit reference; 0 if there is none.

    Both are [n, width].
    """
    return float((unit(faces) @ references.T).max()) if len(faces) else 0.0


def unit(rows: np.ndarray) -> np.ndarray:
    """Each row scaled to length 1; ConceptError on a row that has no direction."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ConceptError("a face embedding is zero or not finite; embed the picture again, or leave it out")
    return rows / lengths


def reference(embed: Embedder, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return a person's embeddings, float32 [pictures, width].

    Raises ConceptError unless each picture shows one face.
    """
    found = [embed(picture) for picture in pictures]
    for place, faces in enumerate(found):
        if len(faces) != 1:
            raise ConceptError(f"reference picture {place + 1} shows {len(faces)} faces; give one that shows one")
    return unit(np.concatenate(found)).astype(np.float32)


def add(folder: Path, name: str, pictures: Sequence[np.ndarray]) -> None:
    """Put a person's references into the folder, in place of those of that name; the folder is made if need be."""
    networks = fetch(folder)
    own = reference(networks.opened(folder), pictures)
    stored = folder / REFERENCES
    save_file({**(load_file(stored) if stored.exists() else {}), name: own}, stored)
    if not (folder / CARD).exists():
        card = {"kind": "face", "threshold": networks.threshold}
        (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _knows(folder: Path, card: Card) -> Known:
    with safe_open(folder / REFERENCES, framework="np") as references:
        return {"identity": frozenset(references.keys())}


JUDGE = Kind("face", FaceJudge.open, _knows, needs=frozenset({"threshold"}))
"""`references.safetensors` beside the card holds embeddings by name."""
