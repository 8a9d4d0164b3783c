"""The picture store: PNG files addressed by what made them, so that nothing is drawn twice."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from expunge.engine.files.atomic import write_whole
from expunge.engine.models.sampling import Sampler, Shot, generate, picture_key


class PictureStore:
    """Pictures under `folder/<first two hex digits>/<key>.png`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.png"

    def __contains__(self, key: str) -> bool:
        """Return whether it is there and whole: what a power loss or a bad disk left is drawn again."""
        try:
            self._whole(key)
        except FileNotFoundError:
            return False
        return True

    def read(self, key: str) -> np.ndarray:
        """Return the picture, uint8 [height, width, 3].

        Raises FileNotFoundError if it was never drawn, or is damaged.
        """
        return np.asarray(Image.open(io.BytesIO(self._whole(key))).convert("RGB"))

    def drawn(self, weights: str, shot: Shot, sampler: Sampler) -> np.ndarray:
        """Return the picture that `draw` made of a shot. Raises FileNotFoundError as `read` does."""
        return self.read(picture_key(weights, shot, sampler))

    def _whole(self, key: str) -> bytes:
        """Return the file's content. Raises FileNotFoundError if it is damaged.

        Pillow decodes a file with a flipped bit into another picture and checks no checksum.
        """
        content = self.path(key).read_bytes()
        try:
            Image.open(io.BytesIO(content)).verify()
        except (OSError, SyntaxError, ValueError) as error:
            raise FileNotFoundError(f"{self.path(key)} is damaged ({error}): ask again, which draws it anew") from error
        return content

    def write(self, key: str, picture: np.ndarray) -> None:
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, format="PNG")
        self.keep(self.path(key), encoded.getvalue())

    def keep(self, path: Path, content: bytes) -> None:
        """Write a file into the store, whole and durably."""
        write_whole(path, content)

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
