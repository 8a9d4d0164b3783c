"""The edited pictures that come closest to each target, with their scores, so that a person can check the judge.

A judge can be blind to what a person sees at once. So the report opens with these, whether or not the judge saw the
target in them. They are kept in the work folder, so that the report can be written anew without the store.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from PIL import Image

from expunge.canonical_json import canonical_json
from expunge.engine.files.atomic import write_whole
from expunge.engine.models.sampling import Shot
from expunge.engine.stats.evidence.table import ARMS, DENOISER, is_attack, where
from expunge.engine.stats.pairing import edited_rows, worst_of
from expunge.tasks.core.paths import readable
from expunge.tasks.core.work_order import Order
from expunge.tasks.evidence.drawing.arms import exchanged
from expunge.tasks.evidence.drawing.workers import picture_store
from expunge.tasks.evidence.examination import examination
from expunge.tasks.views.closest_attempts import Tried

COUNT = 24
THUMBNAIL = 96
FILE = "closest-pictures.json"


@dataclass(frozen=True)
class Close:
    """One edited picture as PNG in base 64, what it was asked with, and what the judge said of it.

    `score` is text, with three decimals, for it is shown and stored and compared no more.
    """

    concept: str
    probe: str
    prompt: str
    seed: int
    seen: bool
    score: str
    shows: str
    picture: str


Ranked = Mapping[tuple[str, str], Sequence[Tried]]


def keep_closest(order: Order, candidate: str, table: pd.DataFrame, ranked: Ranked) -> None:
    """Write the `COUNT` closest pictures of each target into the work folder.

    `candidate` is the digest of the model that the evidence `table` is of, `ranked` what attacks tried by target and
    attack.
    """
    after = worst_of(edited_rows(where(table, table["role"] == "target")))
    made = [
        asdict(close)
        for concept in sorted(set(after["concept"]))
        for close in _closest(order, candidate, where(after, after["concept"] == concept), ranked)
    ]
    write_whole(order.folder / FILE, canonical_json(made))


def read_closest(order: Order) -> dict[str, list[Close]]:
    """Return what `keep_closest` wrote, by concept; nothing for an order that was verified by an earlier version."""
    file = order.folder / FILE
    if not file.exists():
        return {}
    found: dict[str, list[Close]] = {}
    with readable(file):
        for each in json.loads(file.read_bytes()):
            found.setdefault(each["concept"], []).append(Close(**each))
    return found


def thumbnail(picture: np.ndarray) -> str:
    """Return a picture, uint8 [height, width, 3], as a small PNG in base 64."""
    image, file = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def _closest(order: Order, candidate: str, rows: pd.DataFrame, ranked: Ranked) -> Iterator[Close]:
    """Return one target's pictures, those that the judge saw it in first, then by score."""
    ordered = rows.sort_values(["seen", "score", "probe", "prompt", "seed"], ascending=[False, False, True, True, True])
    store, sampler, alone = picture_store(order.home), examination(order).sampler, exchanged(order)
    drawn_by = {ARMS[1]: candidate, **({DENOISER: alone.digest} if alone else {})}
    attacked = {
        (attack, each.prompt, each.seed): each
        for (concept, attack), tried in ranked.items()
        if concept in set(rows["concept"])
        for each in tried
    }
    tried = [key in attacked for key in ordered[["probe", "prompt", "seed"]].itertuples(index=False, name=None)]
    shown = ordered["arm"].isin(drawn_by) & (~is_attack(ordered) | tried)  # what was cleared away cannot be shown
    for row in where(ordered, shown).head(COUNT).to_dict("records"):
        attempt = attacked.get((row["probe"], row["prompt"], row["seed"]))
        picture = (
            attempt.after if attempt else store.drawn(drawn_by[row["arm"]], Shot(row["prompt"], row["seed"]), sampler)
        )
        yield Close(
            concept=row["concept"],
            probe=row["probe"],
            prompt=attempt.said if attempt else row["prompt"],
            seed=row["seed"],
            seen=bool(row["seen"]),
            score=f"{row['score']:.3f}",
            shows=row["shows"],
            picture=thumbnail(picture),
        )
