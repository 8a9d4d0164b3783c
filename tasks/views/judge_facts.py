"""Facts on the judge for report and model card: how it is read, and how often it errs."""

from __future__ import annotations

from typing import Any

from expunge.engine.judges.card import read_card
from expunge.engine.stats.bounds.clopper_pearson import clopper_pearson_lower, clopper_pearson_upper
from expunge.engine.stats.verdict import JudgeError, Verdict, target_error
from expunge.tasks.core.work_order import Order

RULES = {
    "panel": "A target counts as seen after the edit where any of its judges takes the picture for it, or gives it a "
    "score from a threshold on; what must stay, and what the unedited model has to show, where all of them take the "
    "picture for it",
}
"""How judges of a kind with two readings are read; all others see what is likeliest, or scores from a threshold on."""


def judge_facts(order: Order, verdict: Verdict) -> dict[str, Any]:
    """Return the judge's kind and rule, and its own error with bounds for targets and kept concepts of each category.

    The error is None where it was not measured.
    """
    kind = read_card(order.judge_folder).kind
    gone, stayed = ({result.category for result in part} for part in (verdict.targets, verdict.retained))
    readings = [
        *(("what had to go", category, target_error(verdict.judge, category)) for category in sorted(gone)),
        *(("what had to stay", category, verdict.judge.get(category)) for category in sorted(stayed)),
    ]
    sure = verdict.acceptance.confidence
    return {
        "kind": kind,
        "rule": RULES.get(kind, ""),
        "errors": [
            {"of": of, "category": category, "measured": error and _measured(error, sure)}
            for of, category, error in readings
        ],
    }


def _measured(error: JudgeError, sure: float) -> dict[str, Any]:
    return {
        "counted": error,
        "sensitivity": clopper_pearson_lower(error.hits, error.labelled, sure),
        "alarms": clopper_pearson_upper(error.false_alarms, error.negatives, sure),
    }
