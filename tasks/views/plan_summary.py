"""The summary of a plan: what the edit would change and what its verification would cost, as data."""

from __future__ import annotations

from typing import Any

from expunge.engine.models.sampling import picture_key
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.stats.evidence.table import ARMS
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.evidence.auto_tuning import tried
from expunge.tasks.evidence.budget import known_pace, minutes
from expunge.tasks.evidence.drawing.workers import picture_store
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.feasibility import best_case, unknown_names
from expunge.tasks.ledger.queries import elsewhere
from expunge.tasks.ledger.recorder import journal


def preview(order: Order, made: Ref) -> dict[str, Any]:
    """Layers with their diagnostics, the largest change against the limit, and what a verification would take.

    `best` is the outcome if nothing erased is seen and all that is kept is, `unprovable` says why it is not PASS.
    `unknown` names targets that neither the judge nor the encoder knows.
    `minutes` is None as long as nothing was drawn here with this base, so that its pace is not known.
    """
    plan, exam = EditPlan.load(made.path), examination(order)
    shots, store = {question.shot for question in exam.questions}, picture_store(order.home)
    stored = sum(picture_key(order.base, shot, exam.sampler) in store for shot in shots)
    pace, limits = known_pace(order.home, order.base, exam.sampler), order.desired.limits
    best = best_case(exam)
    effort = len(ARMS) * len(shots) + exam.effort - stored
    return {
        "restores": False,
        "editor": plan.editor,
        "plan": plan.digest,
        "deltas": str(made.path),
        "layers": [{"name": name, **values} for name, values in plan.diagnostics.items()],
        "trials": tried(order),
        "largest_change": max(values["change"] for values in plan.diagnostics.values()),
        "limit": limits.max_weight_delta,
        "level": exam.level.name,
        "attempt": order.attempt,
        "grade": best.grade,
        "best": best.outcome.value,
        "unknown": unknown_names(order),
        "unprovable": [reason.message for reason in best.reasons],
        "pictures": len(ARMS) * (len(shots) + exam.tries),
        "pictures_in_store": stored,
        "minutes": None if pace is None else round(minutes(pace, effort), 1),
        "minutes_limit": limits.max_compute_minutes,
        "elsewhere": elsewhere(order.home, journal(order.home, order.line), order.request_id),
    }
