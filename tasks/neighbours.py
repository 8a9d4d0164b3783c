"""Which concepts lie near each target: by the text encoder, and by the judge, who mixes them up in the unedited model.

The pictures are the first that the target is asked for anyway, so they cost nothing more, and the same policy, base
and judge always find the same neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.judges import open_judge
from engine.probes import Question, Subject
from engine.probes.look_alikes import Chooser, LookAlike, confusions, look_alikes, union
from tasks.order import Order
from tasks.shards import SAMPLER, picture_store

LOOKED_AT = 8  # pictures of a target


def neighbours(
    order: Order, base: Any, asked: Sequence[Question], pools: Mapping[str, Sequence[str]], count: int
) -> dict[str, list[LookAlike]]:
    """By target of the plain questions `asked`, nearest first; `pools` are the judge's labels by category.

    A judge that chooses among no labels, as one for explicit content, confuses nothing.
    """
    targets = dict.fromkeys(question.subject for question in asked if question.subject.role == "target")
    mixed_up = _mixed_up(order, base, list(targets), asked, pools, count)
    return {
        target.id: union(look_alikes(base, target, pools.get(target.category, ()), count), mixed_up.get(target.id, ()))
        for target in targets
    }


def _mixed_up(
    order: Order,
    base: Any,
    targets: Sequence[Subject],
    asked: Sequence[Question],
    pools: Mapping[str, Sequence[str]],
    count: int,
) -> dict[str, list[LookAlike]]:
    judge = open_judge(order.judge_folder)
    if not isinstance(judge, Chooser):
        return {}
    store = picture_store(order.home)
    shots = {
        target: sorted({question.shot for question in asked if question.subject == target}, key=_by_seed)[:LOOKED_AT]
        for target in targets
    }
    store.draw(base, order.base, [shot for own in shots.values() for shot in own], SAMPLER)
    return {
        target.id: confusions(
            judge,
            np.stack([store.drawn(order.base, shot, SAMPLER) for shot in own]),
            target,
            pools.get(target.category, ()),
            count,
        )
        for target, own in shots.items()
    }


def _by_seed(shot: Any) -> tuple[int, str]:
    """Every prompt once before any comes a second time."""
    return shot.seed, shot.prompt
