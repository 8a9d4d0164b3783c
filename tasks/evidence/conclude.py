"""The verdict on an evidence table, and the quality of what is kept, written beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from expunge.engine.files.atomic import write_whole
from expunge.engine.files.comparison import Comparison
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.paths import VERDICT
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.evidence.drawing.arms import arms_of
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.quality import measure_quality


def reach_verdict(order: Order, model: Weights, comparison: Ref, table: Ref) -> Ref:
    """Write the verdict: the evidence on a model against the policy's acceptance, and what the model is, beside it."""
    exam, frame, found = examination(order), evidence.read(table.path), Comparison.load(comparison.path)
    path = order.folder / VERDICT
    verdict = decide(frame, exam.rows(frame, arms_of(order, model)), exam.acceptance, exam.judge, found)
    write_whole(path, verdict.to_json().encode())
    return Ref.of(path)


@dataclass(frozen=True)
class Conclusion:
    """The conclusion from evidence: the verdict's file, and what its receipt says: digests and a summary."""

    verdict: Ref
    outputs: dict[str, str]
    summary: dict[str, Any]


def conclude(order: Order, model: Weights, comparison: Ref, table: Ref) -> Conclusion:
    """Return the conclusion on a model; write verdict and quality beside the evidence."""
    made = reach_verdict(order, model, comparison, table)
    verdict, quality = Verdict.load(made.path), measure_quality(order, model.digest, table)
    outputs = {
        "comparison": comparison.sha256,
        "evidence": table.sha256,
        "verdict": made.sha256,
        "quality": quality.sha256,
    }
    reasons = [reason.message for reason in verdict.reasons]
    return Conclusion(made, outputs, {"outcome": verdict.outcome.value, "reasons": reasons, "grade": verdict.grade})
