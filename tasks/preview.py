"""What a planned edit would change and what its verification would cost, as data."""

from __future__ import annotations

from typing import Any

from engine.deltas import EditPlan
from engine.pictures import PictureStore
from engine.sampling import picture_key
from tasks.intake import SAMPLER, load_state
from tasks.order import Order, Ref
from tasks.verify import planned_questions


def preview(order: Order, made: Ref) -> dict[str, Any]:
    """Layers with their diagnostics, the largest change against the limit, and the pictures of a verification."""
    plan = EditPlan.load(made.path)
    shots = {question.shot for question in planned_questions(order)}
    store = PictureStore(order.home / "pictures")
    return {
        "editor": plan.editor,
        "plan": plan.digest,
        "layers": [{"name": name, **values} for name, values in plan.diagnostics.items()],
        "largest_change": max(values["change"] for values in plan.diagnostics.values()),
        "limit": load_state(order).limits.max_weight_delta,
        "pictures": 2 * len(shots),
        "pictures_in_store": sum(picture_key(order.base, shot, SAMPLER) in store for shot in shots),
    }
