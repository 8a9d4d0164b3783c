"""A work order that is verified at level `standard`, with pictures and judgements made up, so that nothing is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from expunge.engine.emoji import MODEL
from expunge.engine.files.comparison import Comparison
from expunge.engine.files.digests import folder_digest
from expunge.engine.models.picture_store import pixel_digest
from expunge.engine.models.sampling import Shot, picture_key
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.probes.attacks import Attempt
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.table import ARMS, Row
from expunge.engine.stats.verdict import Verdict
from expunge.policies import read
from expunge.policies.model.schema import Level
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.evidence.attacks.jobs import AttackShard, attack_shards
from expunge.tasks.evidence.drawing.pictures import Pictures
from expunge.tasks.evidence.drawing.workers import Shard, Work, picture_store
from expunge.tasks.evidence.examination import examination
from expunge.tasks.intake import order_for
from tests.flows.conftest import policy_file

CANDIDATE = "c" * 64
Seen = Callable[[Row], bool]


def seen(row: Row) -> bool:
    """A good edit: the target is gone and stays gone, of the castle every second picture is lost."""
    if row.arm == "before":
        return True
    return row.role != "target" and (row.concept != "castle" or row.seed % 2 == 0)


EDIT = EditPlan(
    deltas={"unet.value.weight": torch.zeros(1, 1)},
    spec="a" * 64,
    templates="b" * 64,
    base="c" * 64,
    editor="uce",
    settings={},
    diagnostics={"unet.value.weight": {"change": 0.1, "residual": 0.2, "drift": 0.3}},
)


def new_order(folder: Path, level: Level = "standard", **acceptance: Any) -> Order:
    """An order with a plan, for the policy of `policy_file`; `acceptance` takes the place of its own."""
    limits = {"max_attack_rate": 0.25, **acceptance}
    path = policy_file(folder, folder_digest(MODEL), "shown", "bicycle", **limits)
    order = order_for(CANDIDATE, read(path), folder / "home", level)
    EDIT.save(order.folder / "deltas.safetensors")
    return order


def verified(order: Order, saw: Seen = seen) -> tuple[Ref, Ref]:
    """Write evidence and verdict as a verification leaves them, pictures and attacks in the store; (verdict, table)."""
    exam, store = examination(order), picture_store(order.home)
    models = [
        (arm, Weights(order.base_folder, digest)) for arm, digest in zip(ARMS, (order.base, CANDIDATE), strict=True)
    ]
    plain = [
        row for arm, model in models for row in made_up(Shard(arm, model, exam.questions, exam.sampler), store, saw)
    ]
    shards = attack_shards(exam.level.attacks, exam.targets, models, evidence.table(plain), exam.seed)
    table = evidence.table([*plain, *(row for shard in shards for row in made_up(shard, store, saw))])
    (order.folder / "comparison.json").write_bytes((comparison := Comparison(declared=True)).to_json())
    verdict = decide(table, exam.rows(table), exam.acceptance, exam.judge, comparison)
    return _left(order, verdict, table)


def _left(order: Order, verdict: Verdict, table: pd.DataFrame) -> tuple[Ref, Ref]:
    evidence.write(table, order.folder / "evidence.parquet")
    (order.folder / "verdict.json").write_text(verdict.to_json(), encoding="utf-8")
    return Ref.of(order.folder / "verdict.json"), Ref.of(order.folder / "evidence.parquet")


def picture(*identity: object) -> np.ndarray:
    """Noise of its own for each identity, uint8 [16, 16, 3]."""
    seed = int.from_bytes(hashlib.sha256(repr(identity).encode()).digest()[:8], "big")
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def made_up(part: Work, store: Pictures, saw: Seen = seen) -> list[Row]:
    """The rows of work that was not done, its pictures in the store."""
    match part:
        case Shard():
            return _asked(part, store, saw)
        case AttackShard():
            return _attacked(part, store, saw)
        case _:
            return []


def _asked(shard: Shard, store: Pictures, saw: Seen) -> list[Row]:
    rows = []
    for question in shard.questions:
        shot = question.shot
        store.write(picture_key(shard.model.digest, shot, shard.sampler), made := picture(shard.model.digest, shot))
        subject = question.subject
        rows.append(_row(subject.id, subject.role, subject.category, question.probe, shot, shard.arm, made, saw))
    return rows


def _attacked(shard: AttackShard, store: Pictures, saw: Seen) -> list[Row]:
    name, subject = shard.attack.name, shard.subject
    attempts = [
        Attempt(subject, name, f"{name} {n}", n, picture(shard.key, n), found=f"words {n} on the model {shard.arm}")
        for n in range(shard.size)
    ]
    shard.keep(store, attempts)
    return [
        _row(
            subject.id, subject.role, subject.category, name, Shot(each.prompt, each.seed), shard.arm, each.picture, saw
        )
        for each in attempts
    ]


def _row(concept: str, role: str, category: str, probe: str, shot: Shot, arm: str, made: np.ndarray, saw: Seen) -> Row:
    """The score rises with the seed, so that it is known which picture came closest."""
    score = min(shot.seed / 100, 1.0)
    row = Row(concept, role, category, probe, shot.prompt, shot.seed, arm, False, score, pixel_digest(made))
    return replace(row, seen=saw(row))
