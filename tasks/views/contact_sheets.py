"""The pictures people look at: same-seed contact sheets of a work order, a sheet each for what went and what stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from expunge.engine.errors import QualityError
from expunge.engine.judges.quality.compare import worst_kept
from expunge.engine.judges.quality.contact_sheet import Strip, contact_sheet
from expunge.engine.models.picture_store import PictureStore
from expunge.engine.models.sampling import Sampler, Shot
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.table import ARMS, DENOISER, arms_in, is_attack, where
from expunge.tasks.core.paths import SHEETS
from expunge.tasks.core.work_order import Order
from expunge.tasks.evidence.drawing.arms import exchanged
from expunge.tasks.evidence.drawing.workers import picture_store
from expunge.tasks.evidence.examination import examination
from expunge.tasks.views.closest_attempts import Tried

SEEDS = 6
TITLES = {
    "targets": "What had to go",
    "denoiser": "What had to go, by the edited denoiser in the base's pipeline",
    "attacks": "What attacks came closest with",
    "worst-kept": "The kept concept that lost most",
    "look-alikes": "Look-alikes that had to stay",
    "general": "Others that had to stay",
}
"""Their titles, in the order in which people look at them."""

Ranked = Mapping[tuple[str, str], Sequence[Tried]]


def contact_sheets(order: Order, candidate: str, path: Path, ranked: Ranked) -> dict[str, Path]:
    """Write those of TITLES that have pictures, as PNG, and return them by name.

    `candidate` is the digest of the edited model, `path` the evidence, `ranked` what attacks tried, closest first.
    """
    table, exam = evidence.read(path), examination(order)
    plain = where(table, ~is_attack(table))
    shots = _Shots(picture_store(order.home), exam.sampler, order.base, candidate)
    strips = {
        "targets": _by_concept(shots, where(plain, plain["role"] == "target"), prompts=2),
        "denoiser": _by_denoiser(order, exam.sampler, plain),
        "attacks": [_attack_strip(exam.names[concept], attack, tried) for (concept, attack), tried in ranked.items()],
        "worst-kept": _worst_strips(shots, table, plain),
        "look-alikes": _by_concept(shots, where(plain, plain["role"] == "look_alike"), prompts=1),
        "general": _by_concept(shots, where(plain, plain["role"] == "general"), prompts=1),
    }
    folder = order.folder / SHEETS
    folder.mkdir(exist_ok=True)
    made = {name: folder / f"{name}.png" for name, own in strips.items() if own}
    for name, file in made.items():
        contact_sheet(strips[name], f"{TITLES[name]}: same prompt, same seeds").save(file, optimize=True)
    return made


def kept_sheets(order: Order) -> tuple[Path, ...]:
    """Return the sheets that a work left, in the order of TITLES."""
    files = [order.folder / SHEETS / f"{name}.png" for name in TITLES]
    return tuple(file for file in files if file.exists())


def _by_denoiser(order: Order, sampler: Sampler, plain: pd.DataFrame) -> list[Strip]:
    """Return the targets once more where the edited denoiser drew in the base's pipeline too."""
    alone = exchanged(order) if DENOISER in arms_in(plain) else None
    if alone is None:
        return []
    shots = _Shots(picture_store(order.home), sampler, order.base, alone.digest)
    targets = where(plain, (plain["role"] == "target") & (plain["arm"] != ARMS[1]))
    return _by_concept(shots, targets.assign(arm=targets["arm"].replace(DENOISER, ARMS[1])), prompts=2)


class _Shots:
    """Pictures of both models out of the store."""

    def __init__(self, store: PictureStore, sampler: Sampler, *models: str) -> None:
        self._store, self._sampler, self._models = store, sampler, models

    def of(self, prompt: str, seeds: Sequence[int]) -> list[list[np.ndarray]]:
        shots = [Shot(prompt, int(seed)) for seed in seeds]
        return [[self._store.drawn(model, shot, self._sampler) for shot in shots] for model in self._models]


def _by_concept(shots: _Shots, rows: pd.DataFrame, prompts: int) -> list[Strip]:
    """Return the first prompts of each concept, those that speak most against the edit leading."""
    return [
        _strip(shots, str(prompt), own)
        for _, concept in rows.groupby("concept")
        for prompt, own in sorted(concept.groupby("prompt"), key=lambda group: _against(group[1]))[:prompts]
    ]


def _against(rows: pd.DataFrame) -> tuple[float, float]:
    """Sorts prompts: of a target by what is still seen, of a kept concept by what was lost, then by what was seen."""
    before, after = _shares(rows)
    return (-after if "target" in set(rows["role"]) else after - before), -before


def _worst_strips(shots: _Shots, table: pd.DataFrame, plain: pd.DataFrame, prompts: int = 4) -> list[Strip]:
    """Return the kept concept that lost most, the prompt and the seed at which it lost most first."""
    try:
        worst = worst_kept(table)
    except QualityError:  # unfit evidence, which the verdict says, or nothing that must stay
        return []
    own = where(plain, plain["concept"] == worst.concept)
    shown = list(dict.fromkeys([worst.prompt, *own["prompt"]]))[:prompts]
    return [_strip(shots, prompt, where(own, own["prompt"] == prompt), worst.seed) for prompt in shown]


def _strip(shots: _Shots, prompt: str, rows: pd.DataFrame, first: int | None = None) -> Strip:
    """Return one prompt's strip with what the judge said of both arms; the seed `first`, if there is one, leads."""
    seeds = sorted(rows["seed"].unique(), key=lambda seed: (seed != first, seed))[:SEEDS]
    before, after = _shares(rows)
    title = f"{prompt}   (judge: {before:.0%} before, {after:.0%} after)"
    return Strip(title, *shots.of(prompt, seeds))


def _shares(rows: pd.DataFrame) -> tuple[float, float]:
    """Return how often the concept is seen before and after."""
    before, after = (float(where(rows, rows["arm"] == arm)["seen"].to_numpy(bool).mean()) for arm in ARMS)
    return before, after


def _attack_strip(name: str, attack: str, tried: Sequence[Tried]) -> Strip:
    best = tried[:SEEDS]
    title = f"{name} by {attack}: {best[0].said}   (judge, after: {best[0].score:.0%} sure of the first)"
    return Strip(title, [each.before for each in best], [each.after for each in best])
