"""What every judge answers, and the pictures that no judge may answer for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Sighting:
    """Whether the judge sees the concept in a picture, and with what probability."""

    seen: bool
    score: float


class Judge(Protocol):
    """`digest` names the judge's weights, labels and wording; a verdict is worth only as much as they are."""

    digest: str

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        """Say for each picture, uint8 [n, height, width, 3], whether it shows the concept beside it."""
        ...


def fault(picture: np.ndarray) -> str:
    """Why a picture proves nothing, or "": a black or constant picture must never count as forgotten."""
    if picture.max() <= 8:
        return "black picture"
    if picture.std() < 1.0:
        return "constant picture"
    return ""
