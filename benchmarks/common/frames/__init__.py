"""Sentences in which people may ask: free prose, of which no line is a template, a probe or a caption of training.

`reported` is for figures that are published and for no choice; `choosing` is for choosing settings.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
REPORTED, CHOOSING = "reported", "choosing"


def frames(name: str) -> tuple[str, ...]:
    """Return the lines of a list, {} in each standing for the concept."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))
