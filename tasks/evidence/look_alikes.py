"""The concepts that lie near each target: by the text encoder, and by what the judge confuses in the unedited model.

The pictures are the first that the target is asked for by the policy alone, of an object anyway, so that the same
policy, base and judge always find the same neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.engine.judges import clip_of
from expunge.engine.models.sampling import Sampler, Shot
from expunge.engine.probes import Question, Subject
from expunge.engine.probes.look_alikes import Chooser, LookAlike, confusions, look_alikes, union
from expunge.tasks.core.work_order import Order
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.workers import picture_store

LOOKED_AT = 8  # pictures of a target


def neighbours(
    order: Order,
    base: Any,
    questions: Sequence[Question],
    pools: Mapping[str, Sequence[str]],
    count: int,
    sampler: Sampler,
) -> dict[str, list[LookAlike]]:
    """Return each target's neighbours, nearest first, from the plain `questions`.

    `pools` are the judge's labels by category.

    A judge that does not tell how it chooses among labels, as all but a CLIP judge, confuses nothing; of a panel its
    first CLIP judge is asked.
    """
    shots: dict[Subject, list[Shot]] = {}
    for question in questions:
        if question.subject.role == "target":
            shots.setdefault(question.subject, []).append(question.shot)
    judge, found = Recorded.of(order).open(), {}
    chooser = judge if isinstance(judge, Chooser) else clip_of(judge)
    shown = _shown(order, base, shots, sampler) if chooser else {}
    for target in shots:
        pool = pools.get(target.category, ())
        near = look_alikes(base, target, pool, count)
        found[target.id] = union(near, confusions(chooser, shown[target], target, pool, count)) if chooser else near
    return found


def _shown(
    order: Order, base: Any, shots: Mapping[Subject, Sequence[Shot]], sampler: Sampler
) -> dict[Subject, np.ndarray]:
    """Return the first pictures of each target by the unedited model.

    Every prompt comes once before any comes a second time.
    """
    store = picture_store(order.home)
    in_turn = {target: sorted(own, key=lambda shot: (shot.seed, shot.prompt)) for target, own in shots.items()}
    first = {target: own[:LOOKED_AT] for target, own in in_turn.items()}
    store.draw(base, order.base, [shot for own in first.values() for shot in own], sampler)
    return {target: np.stack([store.drawn(order.base, shot, sampler) for shot in own]) for target, own in first.items()}
