"""The requests of a load test: policies that each erase one object, on bases that are the same model in other files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from tests.flows.conftest import FEW, policy_file

OBJECTS = (
    "green apple", "locomotive", "monkey", "peach", "pear", "scissors", "snowman", "tomato", "turtle", "umbrella",
)  # fmt: skip
MANY = {**FEW, "seeds": 8, "max_target_rate": 0.49}
"""So many pictures that ten objects together can be proven."""


def bases(folder: Path, count: int) -> list[Path]:
    """Write so many copies of the built-in model, each with a digest and so with a line of its own."""
    return [_base(folder / f"base-{number}", number) for number in range(count)]


def _base(folder: Path, number: int) -> Path:
    shutil.copytree(MODEL, folder, copy_function=os.link)
    index = folder / "model_index.json"
    said = json.loads(index.read_text(encoding="utf-8"))
    index.unlink()  # else the model itself would change, to which it is a link
    index.write_text(json.dumps({**said, "_diffusers_version": f"0.30.{number}"}), encoding="utf-8")
    return folder


def policies(folder: Path, bases: list[Path], count: int) -> list[Path]:
    """Write so many policies, the lines by turns; each of a line erases another object."""
    if count > len(OBJECTS) * len(bases):
        raise ValueError(f"{count} requests on {len(bases)} lines are too many: a line has {len(OBJECTS)} objects")
    folder.mkdir()
    made = [folder_digest(base) for base in bases]
    return [_policy(folder, bases[n % len(bases)], made[n % len(bases)], n, len(bases)) for n in range(count)]


def _policy(folder: Path, base: Path, digest: str, number: int, lines: int) -> Path:
    path = policy_file(folder, digest, f"request-{number}", OBJECTS[number // lines], **MANY)
    said = json.loads(path.read_text(encoding="utf-8"))
    said["base"] = {"uri": f"file:{base}", "sha256": digest}
    path.write_text(json.dumps(said), encoding="utf-8")
    return path
