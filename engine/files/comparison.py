"""The result of a comparison of a candidate with its base, as data that travels in the verdict."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from expunge.canonical_json import canonical_json


@dataclass(frozen=True)
class Difference:
    """One file of the candidate that differs from what it has to be.

    `component` is "" for a file in the model's own folder. `file` is the path in that folder. `problem` completes a
    sentence that begins with the file's name.
    """

    component: str
    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file} {self.problem}"


@dataclass(frozen=True)
class Comparison:
    """The differences between a candidate and its base.

    If `declared`, the edit is known, and so is every byte. If not, any weight of a denoiser may differ, and everything
    else is listed. `unchanged` names the denoisers that are the base's own. `failure` says why the two could not be
    compared, and is "" if they could.
    """

    declared: bool
    differences: tuple[Difference, ...] = ()
    unchanged: tuple[str, ...] = ()
    failure: str = ""

    def to_json(self) -> bytes:
        """Return canonical JSON."""
        return canonical_json(asdict(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that holds what `to_json` returned.

        Raises:
            ValueError, KeyError, TypeError: the file holds anything else.
        """
        return cls.of(json.loads(path.read_bytes()))

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """Return the comparison with these fields, as JSON has them."""
        differences = tuple(Difference(**each) for each in raw["differences"])
        return cls(**{**raw, "differences": differences, "unchanged": tuple(raw["unchanged"])})
