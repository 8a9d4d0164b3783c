"""The header of a safetensors file, read without the file's tensors and within bounds."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.reading.strict_json import JsonError, parse_json

MOST_HEADER = 8 * 2**20
MOST_TENSORS = 20_000  # the largest network that is drawn with has 3,000
HOLES = 16  # a file whose disk blocks hold less than one in so many of its bytes is mostly holes
AGAIN = "download it again"


@dataclass(frozen=True)
class Stored:
    """A tensor by its name, type and shape."""

    name: str
    kind: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Return how many numbers the tensor has."""
        return math.prod(self.shape)


def stored_tensors(path: Path) -> list[Stored]:
    """Return the tensors that a file's header lists.

    When safetensors opens the file, it checks itself that the bytes are there, and no more of them.

    Raises:
        ModelFormatError: the file has no header, or one of more than any model has.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno())
            (length,) = struct.unpack("<Q", file.read(8))
            if length > MOST_HEADER:
                raise JsonError(f"its header has {length} bytes, more than {MOST_HEADER}")
            header = parse_json(file.read(length), MOST_HEADER)
        if size.st_blocks * 512 * HOLES < size.st_size - MOST_HEADER:
            raise JsonError(f"of its {size.st_size} bytes only {size.st_blocks * 512} were ever written")
        header.pop("__metadata__", None)
        if len(header) > MOST_TENSORS:
            raise JsonError(f"it names {len(header)} tensors, more than {MOST_TENSORS}")
        return [Stored(name, str(entry["dtype"]), _shape(entry["shape"])) for name, entry in header.items()]
    except (JsonError, struct.error, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFormatError(f"{path} is no whole safetensors file ({error}); {AGAIN}") from None


def _shape(sides: object) -> tuple[int, ...]:
    if not isinstance(sides, list) or len(sides) > 8 or not all(type(side) is int and side >= 0 for side in sides):
        raise ValueError(f"{str(sides)[:40]} is no shape")
    return tuple(sides)
