"""From a folder to its judge: the `kind` in its card picks the class."""

from __future__ import annotations

from pathlib import Path

from expunge.engine.judges.base import Judge
from expunge.engine.judges.card import kinds, read_card


def open_judge(folder: str | Path, device: str = "cpu") -> Judge:
    """Return the judge in `folder`; its digest is the folder's. Raises ModelFormatError or MissingExtra, with the cure.

    What torch computes for it is computed on `device`.
    """
    folder = Path(folder)
    return kinds()[read_card(folder).kind].opens(folder, device)
