"""The picture store: PNG files addressed by what made them, so that nothing is drawn twice."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.sampling import Sampler, Shot, generate, picture_key
from engine.whole import replace_file


class PictureStore:
    """Pictures under `folder/<first two hex digits>/<key>.png`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.png"

    def __contains__(self, key: str) -> bool:
        """An empty file is what a power loss leaves: not a picture, so it is drawn again."""
        path = self.path(key)
        return path.exists() and path.stat().st_size > 0

    def read(self, key: str) -> np.ndarray:
        """The picture, uint8 [height, width, 3]; FileNotFoundError if it was never drawn."""
        return np.asarray(Image.open(self.path(key)).convert("RGB"))

    def drawn(self, weights: str, shot: Shot, sampler: Sampler) -> np.ndarray:
        """The picture that `draw` made of a shot; FileNotFoundError if it did not yet."""
        return self.read(picture_key(weights, shot, sampler))

    def write(self, key: str, picture: np.ndarray) -> None:
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, format="PNG")
        replace_file(self.path(key), encoded.getvalue())

    def draw(
        self,
        pipeline: Any,
        weights: str,
        shots: Sequence[Shot],
        sampler: Sampler,
        progress: Callable[[int], object] = lambda count: None,
    ) -> list[str]:
        """Make sure every shot is in the store and return their keys, in order; `weights` is the model's digest."""
        keys = [picture_key(weights, shot, sampler) for shot in shots]
        missing = dict.fromkeys(shot for shot, key in zip(shots, keys, strict=True) if key not in self)
        progress(len(shots) - len(missing))
        for shot, picture in generate(pipeline, sorted(missing), sampler):
            self.write(picture_key(weights, shot, sampler), picture)
            progress(1)
        return keys


def pixel_digest(picture: np.ndarray) -> str:
    """sha256 of shape and pixels."""
    return hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()
