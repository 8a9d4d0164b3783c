"""Verify: the same questions to the unedited and to the edited model, judged picture by picture.

First the prompts, round by round where the policy samples in sequence, then the attacks of the policy's level.
"""

from __future__ import annotations

from dataclasses import replace

from expunge.tasks.core.paths import CANDIDATE, DELTAS
from expunge.tasks.core.steps import step
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.evidence.conclude import conclude
from expunge.tasks.evidence.gather import gather_evidence
from expunge.tasks.evidence.identity import compare_with_base
from expunge.tasks.ledger.attempts import attempt_number, questions_digest
from expunge.tasks.ledger.ledger import Step
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.recorder import journal, note, refusals_noted


@step("count the attempt")
def attempt_task(order: Order, candidate: str) -> Order:
    """Return the order with the number of this attempt, which is on record before a picture of the candidate is
    drawn."""
    policy, questions = kept_policy(order.home, order.policy), questions_digest(order.desired)
    chain = journal(order.home, order.line).receipts()
    number = attempt_number(order.home, chain, policy, (candidate, questions))
    counted = replace(order, attempt=number)
    inputs = {"policy": order.policy, "base": order.base, "candidate": candidate, "questions": questions}
    note(counted, Step.ATTEMPTED, inputs, outputs={}, verdict={"attempt": number})
    counted.save()
    return counted


@step("gather evidence")
def verify_task(order: Order, digest: str) -> Ref:
    """Takes the candidate's digest, returns the evidence table."""
    with refusals_noted(order, {"candidate": digest, "base": order.base}):
        return gather_evidence(order, Weights(order.folder / CANDIDATE, digest))


@step("compare with the base")
def compare_task(order: Order, digest: str) -> Ref:
    """Takes the candidate's digest, returns how the candidate differs from its base with the planned edit."""
    with refusals_noted(order, {"candidate": digest, "base": order.base}):
        return compare_with_base(order, Weights(order.folder / CANDIDATE, digest), order.folder / DELTAS)


@step("reach the verdict")
def verdict_task(order: Order, candidate: str, comparison: Ref, table: Ref) -> Ref:
    """The verdict and the quality of what is kept, with their receipt; returns the verdict."""
    known = conclude(order, Weights(order.folder / CANDIDATE, candidate), comparison, table)
    inputs = {"candidate": candidate, "base": order.base, "judge": order.judge}
    note(order, Step.VERIFIED, inputs, known.outputs, verdict={**known.told, "attempt": order.attempt})
    return known.verdict
