"""The quality of what stays: measured on the pictures of the verification, and written beside the verdict.

Where it cannot be had the file says why. No limit hangs on it, so a takedown never fails for want of it.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pandas as pd

from expunge.canonical_json import canonical_json
from expunge.engine.errors import QualityError
from expunge.engine.files.atomic import write_whole
from expunge.engine.judges import clip_of
from expunge.engine.judges.card import read_card
from expunge.engine.judges.quality.compare import Drawn, Quality, compare
from expunge.engine.models.sampling import Shot
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.table import ARMS, where
from expunge.tasks.core.paths import QUALITY, readable
from expunge.tasks.core.policy_adapter import sampler
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.workers import picture_store

UNMEASURED = "not_measured"


def measure_quality(order: Order, candidate: str, table: Ref) -> Ref:
    """Write `quality.json`; `candidate` is the digest of the edited model that the evidence `table` is of."""
    path = order.folder / QUALITY
    try:
        content = _compared(order, candidate, evidence.read(table.path)).to_json()
    except QualityError as error:
        content = canonical_json({UNMEASURED: str(error)}).decode()
    write_whole(path, content.encode())
    return Ref.of(path)


def read_quality(folder: Path) -> tuple[Quality | None, str]:
    """Return the figures in a work folder, or None and why there are none."""
    path = folder / QUALITY
    if not path.exists():
        return None, "this order was verified before quality was measured: verify it again"
    with readable(path):
        text = path.read_text(encoding="utf-8")
        missing = json.loads(text).get(UNMEASURED, "")
        return (None, missing) if missing else (Quality.from_json(text), "")


def _compared(order: Order, candidate: str, frame: pd.DataFrame) -> Quality:
    kind = read_card(order.judge_folder).kind
    judge = clip_of(Recorded.of(order).open()) if kind in ("clip", "panel") else None
    if judge is None:
        raise QualityError(f"the judge is of kind {kind}, and the figures are read from the features of a CLIP")
    return compare(judge.network, kept_shots(frame), _drawn_by(order, order.base), _drawn_by(order, candidate), frame)


def kept_shots(frame: pd.DataFrame) -> list[Shot]:
    """Return the shots of what must stay, of prompts with two seeds or more: one picture says nothing of diversity."""
    kept = where(frame, (frame["role"] != "target") & (frame["arm"] == ARMS[0]))
    shots = {Shot(str(prompt), int(seed)) for prompt, seed in zip(kept["prompt"], kept["seed"], strict=True)}
    seeds = Counter(shot.prompt for shot in shots)
    return sorted(shot for shot in shots if seeds[shot.prompt] >= 2)


def _drawn_by(order: Order, weights: str) -> Drawn:
    store, by = picture_store(order.home), sampler(order.desired)
    return lambda shot: store.drawn(weights, shot, by)
