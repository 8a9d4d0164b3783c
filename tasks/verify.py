"""Verify: the same questions to the unedited and to the edited model, judged picture by picture.

First the prompts, round by round where the policy samples in sequence, then the attacks of the policy's level.
"""

from __future__ import annotations

from expunge.policies import withdrawn
from expunge.tasks.core.errors import VerdictNotPassed
from expunge.tasks.core.work_order import Ref, Weights
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import step
from expunge.tasks.evidence.conclude import conclude
from expunge.tasks.evidence.gather import gather_evidence
from expunge.tasks.evidence.identity import compare_with_base
from expunge.tasks.evidence.returned import ask_returned
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.line.attempts import attempt_number, questions_digest
from expunge.tasks.ledger.receipt import Step


@step("compare with the base")
def compare_task(case: Case, plan: Ref, candidate: Weights) -> Ref:
    """Return how the candidate differs from its base with the planned edit."""
    with case.refusals_noted({"candidate": candidate.digest, "base": case.order.base}):
        return compare_with_base(case.order, candidate, plan.path)


@step("count the attempt")
def attempt_task(case: Case, candidate: Weights) -> Case:
    """Return the case with the number of this attempt.

    The number is on record before a picture of the candidate is drawn.
    """
    order, questions = case.order, questions_digest(case.order.desired)
    number = attempt_number(order.home, case.chain, case.policy, (candidate.digest, questions))
    inputs = {"policy": order.policy, "base": order.base, "candidate": candidate.digest, "questions": questions}
    counted = case.counted(number)
    counted.note(Step.ATTEMPTED, inputs, outputs={}, verdict={"attempt": number})
    counted.order.save()
    tell(f"attempt {number}")
    return counted


@step("gather evidence")
def verify_task(case: Case, candidate: Weights) -> Ref:
    """Return the evidence table: one row a picture, of the unedited and of the edited model."""
    with case.refusals_noted({"candidate": candidate.digest, "base": case.order.base}):
        return gather_evidence(case.order, candidate)


@step("ask for what is withdrawn")
def returned_task(case: Case, candidate: Weights) -> None:
    """Prove that concepts which the policy withdraws are back; all else in force was proven before.

    Raises:
        VerdictNotPassed: one of them is not seen on the candidate as often as its own policy demanded of the base.
    """
    gone = withdrawn(case.policy, case.policies.values(), case.order.desired)
    if not gone:
        return
    inputs = {"candidate": candidate.digest, "base": case.order.base, "judge": case.order.judge}
    with case.refusals_noted(inputs):
        found = ask_returned(case.order, candidate, list(gone.values()))
    said = {"outcome": found.outcome, "reasons": list(found.reasons), "seen": list(found.seen)}
    case.note(Step.RETURNED, inputs, {"returned": found.table.sha256}, said)
    tell("; ".join([*found.reasons, *found.seen]))
    if found.outcome != "PASS":
        raise VerdictNotPassed(found.outcome, "\n  ".join([f"{found.outcome}, nothing was published:", *found.reasons]))


@step("reach the verdict")
def verdict_task(case: Case, candidate: Weights, comparison: Ref, table: Ref) -> Ref:
    """Return the verdict; write it and the quality of what is kept, with their receipt."""
    order = case.order
    known = conclude(order, candidate, comparison, table)
    inputs = {"candidate": candidate.digest, "base": order.base, "judge": order.judge}
    case.note(Step.VERIFIED, inputs, known.outputs, verdict={**known.summary, "attempt": order.attempt})
    tell(f"verdict {known.summary['outcome']}, {known.summary['grade']}")
    return known.verdict
