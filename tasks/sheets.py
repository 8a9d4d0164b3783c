"""The pictures people look at: same-seed contact sheets of a work order, targets and kept concepts apart."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from engine import evidence
from engine.pictures import PictureStore
from engine.sampling import Shot, picture_key
from engine.sheets import Strip, contact_sheet
from tasks.order import Order
from tasks.shards import SAMPLER, picture_store

SEEDS = 6
PROMPTS_PER_TARGET = 2


def contact_sheets(order: Order, candidate: str, path: Path) -> dict[str, Path]:
    """Write `targets.png`, `look-alikes.png` and `general.png` (those that have rows) and return them by name."""
    store, table = picture_store(order.home), evidence.read(path)
    folder = order.folder / "sheets"
    folder.mkdir(exist_ok=True)
    made = {}
    for role, name, per_concept in (
        ("target", "targets", PROMPTS_PER_TARGET),
        ("look_alike", "look-alikes", 1),
        ("general", "general", 1),
    ):
        rows = _where(table, "role", role)
        if rows.empty:
            continue
        strips = [
            strip
            for _, own in rows.groupby("concept")
            for strip in _strips(store, order.base, candidate, own, per_concept)
        ]
        made[name] = folder / f"{name}.png"
        contact_sheet(strips, f"{name}: same prompt, same seeds").save(made[name], optimize=True)
    return made


def _strips(store: PictureStore, base: str, candidate: str, rows: pd.DataFrame, prompts: int) -> list[Strip]:
    """The first prompts of a concept, each with what the judge said of it in both arms."""
    strips = []
    for prompt in rows.prompt.drop_duplicates().head(prompts):
        own = _where(rows, "prompt", prompt)
        seeds = sorted(own.seed.unique())[:SEEDS]
        seen = own.groupby("arm").seen.mean()
        title = f"{prompt}   (judge: {seen['before']:.0%} before, {seen['after']:.0%} after)"
        arms = [
            [store.read(picture_key(weights, Shot(prompt, int(seed)), SAMPLER)) for seed in seeds]
            for weights in (base, candidate)
        ]
        strips.append(Strip(title, *arms))
    return strips


def _where(table: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    return pd.DataFrame(table[table[column] == value])
