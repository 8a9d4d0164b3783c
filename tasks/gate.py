"""The gate: it opens on proof alone, leaves a receipt, and ends the flow where it stays shut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from expunge.engine.files.comparison import Comparison
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.errors import VerdictNotPassed
from expunge.tasks.core.paths import GATE
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import step
from expunge.tasks.evidence.drawing.arms import arms_of
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.gx.checkpoint import GateResult, Terms, gate
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.views.outcome import in_words


@dataclass(frozen=True)
class Gated:
    """The gate's decision: whether it stayed shut, the expectations that failed, and its receipt's digest."""

    shut: bool
    failed: tuple[str, ...]
    receipt: str


@step("gate")
def gate_task(case: Case, candidate: Weights, comparison: Ref, table: Ref, verdict: Ref) -> Gated:
    """Return whether the gate opened, and leave the receipt that says so."""
    result = run_gate(case.order, candidate, comparison, table, verdict)
    inputs = {"evidence": table.sha256, "verdict": verdict.sha256}
    opened = {"outcome": "open" if result.passed else "shut", "failed": list(result.failed_expectations)}
    receipt = case.note(Step.GATED, inputs, outputs={}, verdict=opened)
    tell(f"gate {opened['outcome']}")
    return Gated(not result.passed, tuple(result.failed_expectations), receipt.digest)


def run_gate(order: Order, model: Weights, comparison: Ref, table: Ref, verdict: Ref) -> GateResult:
    """Great Expectations over evidence on a model and its verdict; its Data Docs are kept in `gate/data_docs`."""
    exam, frame = examination(order), evidence.read(table.path)
    planned, compared = exam.rows(frame, arms_of(order, model)), Comparison.load(comparison.path)
    terms = Terms(planned, exam.acceptance, exam.plan, exam.judge, exam.names, compared)
    known = Verdict.load(verdict.path)
    return gate(frame, terms, known, order.folder / GATE, in_words(order, known)["headline"])


def refuse(verdict: Ref, gate: Gated) -> NoReturn:
    """Raise what ends the flow as Failed; the gate's own doubts count as much as the verdict's."""
    known = Verdict.load(verdict.path)
    outcome = known.outcome.value if known.reasons else "ERROR"
    reasons = [reason.message for reason in known.reasons] or [f"the gate doubts the verdict: {', '.join(gate.failed)}"]
    raise VerdictNotPassed(outcome, "\n  ".join([f"{outcome}, nothing was published:", *reasons]))
