"""Errors of rounding as a type bounds them: beside the edited weights, where an edit tells them beside its changes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from expunge.engine.plans.edit_plan import EditPlan


def of_weights(rounding: Mapping[str, float], plan: EditPlan, originals: Mapping[str, Tensor]) -> list[float]:
    changes = {name: plan.deltas[name].double() for name in rounding}
    edited = {name: (originals[name].double() + change).norm() for name, change in changes.items()}
    return [(rounding[name] * change.norm() / edited[name]).item() for name, change in changes.items()]
