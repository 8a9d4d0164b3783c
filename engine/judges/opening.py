"""From a folder to its judge: the `kind` in its card picks the class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from expunge.engine.files.digests import folder_digest
from expunge.engine.judges.base import Judge
from expunge.engine.judges.card import read_card
from expunge.engine.judges.classifier import ClassifierJudge
from expunge.engine.judges.clip import ClipJudge
from expunge.engine.judges.ensemble import Ensemble
from expunge.engine.judges.explicit import ExplicitClassifier, NudeNetJudge
from expunge.engine.judges.face import FaceJudge
from expunge.engine.judges.panel import Panel


def open_judge(folder: str | Path, device: str = "cpu") -> Judge:
    """The judge in `folder`; its digest is the folder's. Raises ModelFormatError or MissingExtra, with the cure.

    What torch computes for it is computed on `device`.
    """
    folder = Path(folder)
    return KINDS[read_card(folder).kind](folder, device)


def _ensemble(folder: Path, device: str) -> Ensemble:
    members = [open_judge(folder / member, device) for member in read_card(folder).members]
    return Ensemble(members, folder_digest(folder))


def _panel(folder: Path, device: str) -> Panel:
    card = read_card(folder)
    members = {name: open_judge(folder / name, device) for name in card.members}
    return Panel(members, card.thresholds, folder_digest(folder))


def clip_of(judge: Judge) -> ClipJudge | None:
    """The judge itself if it is a CLIP, the first such member of a panel, or None."""
    members = judge.members if isinstance(judge, Panel) else (judge,)
    return next((member for member in members if isinstance(member, ClipJudge)), None)


KINDS: dict[str, Callable[[Path, str], Judge]] = {
    "clip": ClipJudge,
    "classifier": ClassifierJudge,
    "explicit-classifier": ExplicitClassifier,
    "nudenet": lambda folder, _: NudeNetJudge(folder),
    "face": lambda folder, _: FaceJudge.open(folder),
    "ensemble": _ensemble,
    "panel": _panel,
}
