"""What was withdrawn is back: the positive control, asked of the restored candidate.

An edit for all that is still in force can take a concept away beside its targets, so that a withdrawal would restore
nothing. So the candidate is asked for each withdrawn concept as its own policy asked, and the judge must see it in at
least the share that this policy demands of the unedited model. The unedited model is asked the same: where even that
does not show it, nothing can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.engine.judges import error
from expunge.engine.judges.card import names
from expunge.engine.probes.levels import questions_at
from expunge.engine.stats.estimates import target_results
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.pairing import pairs_of
from expunge.engine.stats.verdict import Outcome, TargetResult
from expunge.policies import DesiredState, Policy, desired_state
from expunge.tasks.core.paths import RETURNED
from expunge.tasks.core.policy_adapter import acceptance, sampler, subjects
from expunge.tasks.core.settings import workers
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.evidence.budget import Budget
from expunge.tasks.evidence.drawing.arms import models_of
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.workers import crew, cut
from expunge.tasks.evidence.examination import as_judged
from expunge.tasks.evidence.gather import work_off


@dataclass(frozen=True)
class Returned:
    """The evidence on withdrawn concepts, and what it comes to: PASS, FAIL or INCONCLUSIVE, with the reasons."""

    table: Ref
    outcome: str
    reasons: tuple[str, ...]
    seen: tuple[str, ...]


def ask_returned(order: Order, candidate: Weights, gone: Sequence[tuple[Policy, set[str]]]) -> Returned:
    """Draw and judge the withdrawn concepts on the base and on the candidate, and write the evidence."""
    rows, outcomes, reasons, seen = [], set[Outcome](), list[str](), list[str]()
    for policy, ids in gone:
        state = _asked(policy, ids)
        own = _rows(order, candidate, state)
        rows += own
        limits, judge = acceptance(state), error.read(order.judge_folder, order.judge)
        found = target_results(pairs_of(evidence.table(own)), limits, judge)
        if {result.concept for result in found} != ids:
            outcomes.add(Outcome.ERROR)
            reasons.append(f"not every concept that {policy.request_id} gives back was asked for")
        for result in found:
            outcome, words = _judged(result, limits.min_control_rate)
            outcomes.add(outcome)
            (seen if outcome is Outcome.PASS else reasons).append(words)
    table = evidence.table(rows)
    evidence.write(table, path := order.folder / RETURNED)
    worst = next(one for one in (Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS) if one in outcomes)
    return Returned(Ref.of(path), worst.value, tuple(reasons), tuple(seen))


def _judged(result: TargetResult, control: float) -> tuple[Outcome, str]:
    """Return what a withdrawn concept comes to, and that in words."""
    total = result.total
    if not total.before >= control:  # also where it is no number
        words = f"{result.concept} is seen in {total.before:.1%} of the unedited model's pictures, needed {control:.1%}"
        return Outcome.INCONCLUSIVE, f"nobody can tell whether it is back: {words}"
    words = f"{result.concept} is seen in {total.seen} of {total.n} pictures ({total.rate:.1%})"
    if not total.rate >= control:
        return Outcome.FAIL, f"it is not back: {words}, needed {control:.1%}"
    return Outcome.PASS, f"it is back: {words}"


def _asked(policy: Policy, ids: set[str]) -> DesiredState:
    """Return the state by which withdrawn concepts are asked for: their own prompts, seeds and drawing."""
    state = desired_state([policy])
    plain = state.acceptance.model_copy(update={"level": "quick", "sampling": "fixed", "probe_limits": {}})
    concepts = tuple(concept for concept in state.concepts if concept.id in ids)
    return state.model_copy(update={"concepts": concepts, "retain": (), "acceptance": plain, "unspared": ()})


def _rows(order: Order, candidate: Weights, state: DesiredState) -> list[evidence.Row]:
    wanted, by = state.acceptance, sampler(state)
    subjects_ = as_judged(subjects(state), names(order.judge_folder))
    asked = questions_at("quick", subjects_, wanted.prompts, wanted.seeds, state.seed)
    shards = [shard for arm, model in models_of(order, candidate) for shard in cut(arm, model, asked, by)]
    budget = Budget(order.desired.limits.max_compute_minutes)
    with crew(order.home, Recorded.of(order), workers()) as do:
        return work_off(do, order, shards, "withdrawn concepts", budget)
