"""What a planned edit would change and what its verification would cost, as data."""

from __future__ import annotations

from typing import Any

from engine.deltas import EditPlan
from engine.sampling import picture_key
from tasks.budget import known_pace, minutes
from tasks.intake import load_state
from tasks.order import Order, Ref
from tasks.shards import SAMPLER, picture_store
from tasks.verify import planned_questions


def preview(order: Order, made: Ref) -> dict[str, Any]:
    """Layers with their diagnostics, the largest change against the limit, and what a verification would take.

    `minutes` is None as long as nothing was drawn here with this base, so that its pace is not known.
    """
    plan = EditPlan.load(made.path)
    shots = {question.shot for question in planned_questions(order)}
    store = picture_store(order.home)
    stored = sum(picture_key(order.base, shot, SAMPLER) in store for shot in shots)
    pace, limits = known_pace(order.home, order.base), load_state(order).limits
    return {
        "editor": plan.editor,
        "plan": plan.digest,
        "layers": [{"name": name, **values} for name, values in plan.diagnostics.items()],
        "largest_change": max(values["change"] for values in plan.diagnostics.values()),
        "limit": limits.max_weight_delta,
        "pictures": 2 * len(shots),
        "pictures_in_store": stored,
        "minutes": None if pace is None else round(minutes(pace, 2 * len(shots) - stored), 1),
        "minutes_limit": limits.max_compute_minutes,
    }
