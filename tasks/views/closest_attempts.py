"""The attempts of each attack: the words it found and the pictures, nearest to the concept first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from expunge.engine.probes.attacks import Attempt
from expunge.engine.stats.evidence.table import ARMS, DENOISER, arms_in, is_attack, where
from expunge.engine.stats.pairing import edited_rows, worst_of
from expunge.tasks.core.paths import CANDIDATE
from expunge.tasks.core.work_order import Order, Weights
from expunge.tasks.evidence.attacks.jobs import AttackShard
from expunge.tasks.evidence.drawing.arms import exchanged
from expunge.tasks.evidence.drawing.workers import picture_store
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.gather import due_shards


@dataclass(frozen=True)
class Tried:
    """One attempt on the unedited and on the edited model; pictures are uint8 [h, w, 3].

    `seen` and `score` are the judge's on the edited one. Where its denoiser was asked in the base's pipeline too, they
    and `after` are of the picture that came closer.

    `found` is what the edited model was asked with, where the attack searched for it; `prompt` says which attempt.
    """

    prompt: str
    seed: int
    found: str
    seen: bool
    score: float
    before: np.ndarray
    after: np.ndarray

    @property
    def said(self) -> str:
        return self.found or self.prompt


def ranked_attempts(order: Order, candidate: str, table: pd.DataFrame) -> dict[tuple[str, str], list[Tried]]:
    """Return by target and attack all attempts; what came closest to the target after the edit first.

    `candidate` is the digest of the model that the evidence `table` is of. Nothing is drawn: an attack that the
    evidence has rows of was kept.
    """
    attacked = where(table, is_attack(table))
    shards: dict[tuple[str, str], list[AttackShard]] = {}
    for shard in _shards(order, candidate, table) if len(attacked) else ():
        shards.setdefault((shard.subject.id, shard.attack.name), []).append(shard)
    after = worst_of(edited_rows(attacked))
    return {
        key: _ranked(order, own, where(after, (after["concept"] == key[0]) & (after["probe"] == key[1])))
        for key, own in shards.items()
    }


def _shards(order: Order, candidate: str, table: pd.DataFrame) -> list[AttackShard]:
    exam = examination(order)
    base, edited = Weights(order.base_folder, order.base), Weights(order.folder / CANDIDATE, candidate)
    models: list[tuple[str, Weights]] = [(ARMS[0], base), (ARMS[1], edited)]
    if DENOISER in arms_in(table) and (alone := exchanged(order)):
        models.append((DENOISER, alone))
    plain = where(table, ~is_attack(table))
    return due_shards(exam, models, plain, where(table, is_attack(table)))


def _ranked(order: Order, shards: Sequence[AttackShard], rows: pd.DataFrame) -> list[Tried]:
    store = picture_store(order.home)
    made: dict[
        str, dict[tuple[str, int], Attempt]
    ] = {}  # an attack starts from the same prompts and seeds on all models
    for shard in shards:
        made.setdefault(shard.arm, {}).update({(each.prompt, each.seed): each for each in shard.attempts(store)})
    tried = [
        _tried(row, made[ARMS[0]][row["prompt"], row["seed"]], made[row["arm"]][row["prompt"], row["seed"]])
        for row in rows.to_dict("records")
        if row["arm"] in made  # what was cleared away cannot be shown
    ]
    return sorted(tried, key=lambda each: (-each.seen, -each.score, each.prompt, each.seed))


def _tried(row: dict[Any, Any], before: Attempt, after: Attempt) -> Tried:
    return Tried(row["prompt"], row["seed"], after.found, row["seen"], row["score"], before.picture, after.picture)
