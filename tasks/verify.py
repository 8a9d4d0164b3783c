"""Verify: the same questions to the unedited and to the edited model, judged picture by picture.

First the prompts, round by round where the policy samples in sequence, then the attacks of the policy's level.
"""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from expunge.tasks.core.paths import CANDIDATE, DELTAS
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.evidence.conclude import conclude
from expunge.tasks.evidence.gather import gather_evidence
from expunge.tasks.evidence.identity import compare_with_base
from expunge.tasks.ledger.ledger import Step
from expunge.tasks.ledger.recorder import note, refusals_noted


@task(name="gather evidence", cache_policy=NO_CACHE)
def verify_task(order: Order, digest: str) -> Ref:
    """Takes the candidate's digest, returns the evidence table."""
    with refusals_noted(order, {"candidate": digest, "base": order.base}):
        return gather_evidence(order, Weights(order.folder / CANDIDATE, digest))


@task(name="compare with the base", cache_policy=NO_CACHE)
def compare_task(order: Order, digest: str) -> Ref:
    """Takes the candidate's digest, returns how the candidate differs from its base with the planned edit."""
    with refusals_noted(order, {"candidate": digest, "base": order.base}):
        return compare_with_base(order, Weights(order.folder / CANDIDATE, digest), order.folder / DELTAS)


@task(name="reach the verdict", cache_policy=NO_CACHE)
def verdict_task(order: Order, candidate: str, comparison: Ref, table: Ref) -> Ref:
    """The verdict and the quality of what is kept, with their receipt; returns the verdict."""
    known = conclude(order, Weights(order.folder / CANDIDATE, candidate), comparison, table)
    inputs = {"candidate": candidate, "base": order.base, "judge": order.judge}
    note(order, Step.VERIFIED, inputs, known.outputs, verdict=known.told)
    return known.verdict
