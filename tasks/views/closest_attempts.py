"""What each attack came to, attempt by attempt: the words it found and the pictures, nearest to the concept first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from expunge.engine.stats.evidence_table import ARMS, is_attack, where
from expunge.tasks.core.paths import CANDIDATE
from expunge.tasks.core.work_order import Order, Weights
from expunge.tasks.evidence.attack_jobs import AttackShard, attack_shards
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.gather import both
from expunge.tasks.evidence.workers import picture_store


@dataclass(frozen=True)
class Tried:
    """One attempt on both models; `seen` and `score` are the judge's on the edited one, pictures are uint8 [h, w, 3].

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
    """By target and attack all attempts, what came closest to the target after the edit first.

    `candidate` is the digest of the model that the evidence `table` is of. Nothing is drawn: an attack that the
    evidence has rows of was kept.
    """
    attacked = where(table, is_attack(table))
    shards: dict[tuple[str, str], dict[str, AttackShard]] = {}
    for shard in _shards(order, candidate, table) if len(attacked) else ():
        shards.setdefault((shard.subject.id, shard.attack.name), {})[shard.arm] = shard
    after = where(attacked, attacked["arm"] == ARMS[1])
    return {
        key: _ranked(order, arms, where(after, (after["concept"] == key[0]) & (after["probe"] == key[1])))
        for key, arms in shards.items()
    }


def _shards(order: Order, candidate: str, table: pd.DataFrame) -> list[AttackShard]:
    exam = examination(order)
    models = both(order, Weights(order.folder / CANDIDATE, candidate))
    plain = where(table, ~is_attack(table))
    return attack_shards(exam.level.attacks, exam.targets, models, plain, exam.seed)


def _ranked(order: Order, arms: dict[str, AttackShard], rows: pd.DataFrame) -> list[Tried]:
    store = picture_store(order.home)
    before, after = (
        {(each.prompt, each.seed): each for each in arms[arm].attempts(store)} for arm in ARMS
    )  # an attack starts from the same prompts and seeds on both models
    tried = [
        Tried(
            prompt=row["prompt"],
            seed=row["seed"],
            found=after[row["prompt"], row["seed"]].found,
            seen=row["seen"],
            score=row["score"],
            before=before[row["prompt"], row["seed"]].picture,
            after=after[row["prompt"], row["seed"]].picture,
        )
        for row in rows.to_dict("records")
    ]
    return sorted(tried, key=lambda each: (-each.seen, -each.score, each.prompt, each.seed))
