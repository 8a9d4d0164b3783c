"""The choice of the next pictures: round by round, and none for what is already decided.

A plan lists every question that may be asked and the round of each. A round asks every prompt of a concept with the
same number of new seeds.

A target goes on until each of its limits is proven kept and each control is met, or until one limit or control is
proven broken. This covers the target's own limits and controls and those of its prompt families. Kept concepts go on
group by group, until the group's drop is proven kept or broken. A group goes on longer while one of its concepts is
suspected of a collapse, because a few pictures cannot prove a collapse among many claims. It then stops when the
collapse is proven or no longer suspected. Everything ends with the plan's last round. The whole loop is

    evidence = none(plan)
    while len(due := next_round(plan, evidence, acceptance)):
        evidence = evidence + rows of all arms for every question due

With sampling "fixed" a plan has one round and the loop has one turn. Every step is a pure function of plan, evidence
and limits. So anybody who has these can compute which rows the rule asks for (`asked`) and check that there are no
others (`breaches`). Evidence that somebody gathered further, or cut short, because of what it showed proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from expunge.engine.stats.estimates import METHODS, Judge, group_results, retained_results, target_results
from expunge.engine.stats.evidence.table import SHOT, is_attack, where
from expunge.engine.stats.hypotheses import collapse_p, most_claims
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.pairing import pairs_of
from expunge.engine.stats.requirements import demands
from expunge.engine.stats.verdict import Rate, RetainResult, TargetResult

if TYPE_CHECKING:  # the statistics must run without torch, which the questions import for their pictures
    from expunge.engine.probes.prompts.families import Question

PLANNED = ["concept", "role", "category", "probe", "prompt", "seed", "round"]


def plan_of(questions: Iterable[Question], acceptance: Acceptance, round_seeds: int) -> pd.DataFrame:
    """Return the plan of these questions: one row each, in their order, so a row's index is its question's place.

    A prompt's seeds are taken in ascending order, `round_seeds` in each round. With sampling "fixed" all are in one
    round. Raises ValueError if `round_seeds` is below 1.
    """
    if round_seeds < 1:
        raise ValueError(f"round_seeds is {round_seeds}: take at least one seed of every prompt a round")
    rows = [
        (q.subject.id, q.subject.role, q.subject.category, q.probe, q.shot.prompt, q.shot.seed, 0) for q in questions
    ]
    plan = pd.DataFrame(rows, columns=PLANNED)
    if acceptance.sampling == "sequential" and len(plan):
        plan["round"] = (plan.groupby(["concept", "prompt"])["seed"].rank(method="first") - 1).astype(
            int
        ) // round_seeds
    return plan


def next_round(
    plan: pd.DataFrame, evidence: pd.DataFrame, acceptance: Acceptance, judge: Judge | None = None
) -> pd.DataFrame:
    """Return the rows of the plan to ask next of both models; none when all is decided or the plan is used up.

    A round that has some of its rows already is completed. Rows of attacks are ignored, because the number of an
    attack's pictures is fixed beforehand and is no part of a plan.
    """
    have = where(evidence, ~is_attack(evidence))
    missing = where(plan, ~_keys(plan).isin(_keys(have)))
    claims = most_claims(plan, acceptance)
    due = [_due(unit, missing, have, acceptance, judge or {}, claims) for unit in _units(plan)]
    return plan.loc[sorted(place for places in due for place in places)]


def asked(
    plan: pd.DataFrame, evidence: pd.DataFrame, acceptance: Acceptance, judge: Judge | None = None
) -> pd.DataFrame:
    """Return the rows of the plan that the rule asks for, replayed on the evidence as far as it reaches."""
    taken = plan.head(0)
    while len(due := next_round(plan, _answers(taken, evidence), acceptance, judge)):
        taken = plan.loc[sorted({*taken.index, *due.index})]
        if not _keys(due).isin(_keys(evidence)).all():
            break
    return taken


def breaches(
    plan: pd.DataFrame, evidence: pd.DataFrame, acceptance: Acceptance, judge: Judge | None = None
) -> Iterator[str]:
    """Yield in words how the rows of evidence differ from those that the rule asks for; nothing where they agree."""
    due, have = asked(plan, evidence, acceptance, judge), where(evidence, ~is_attack(evidence))
    missing, surplus = where(due, ~_keys(due).isin(_keys(have))), where(have, ~_keys(have).isin(_keys(due)))
    for text, rows in (
        ("pictures that the plan asks for are missing", missing),
        ("rows were never asked for", surplus),
    ):
        if len(rows):
            yield f"{len(rows)} {text}, first {rows[[*SHOT, 'probe']].iloc[0].to_dict()}"


def _units(plan: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the parts of the plan that go on or stop together.

    A part is one target, or all kept concepts of one role and category.
    """
    names = plan["concept"].where(plan["role"] == "target", plan["role"] + "/" + plan["category"])
    return [plan.loc[places] for _, places in sorted(plan.groupby([plan["role"], names]).groups.items())]


def _due(
    unit: pd.DataFrame, missing: pd.DataFrame, have: pd.DataFrame, acceptance: Acceptance, judge: Judge, claims: int
) -> list[int]:
    own = where(missing, missing.index.isin(unit.index))
    if own.empty:
        return []
    number = own["round"].min()
    of_unit = where(have, have["concept"].isin(list(set(unit["concept"]))))
    complete = _answers(where(unit, unit["round"] < number), of_unit)
    if len(complete) and not is_open(complete, acceptance, judge, claims):
        return []
    return list(where(own, own["round"] == number).index)


def is_open(evidence: pd.DataFrame, acceptance: Acceptance, judge: Judge, claims: int) -> bool:
    """Return True if more pictures of this target or group could change what the verdict proves of it.

    `claims` is the largest number of claims that the verdict may make.
    """
    pairs = pairs_of(evidence)
    targets, kept = target_results(pairs, acceptance, judge), retained_results(pairs, acceptance)
    drops = [group.total for group in group_results(pairs, kept, acceptance, judge)]
    limits = [[*_limits(target, acceptance), *_controls(target, acceptance)] for target in targets]
    limits += [[(drop.lower, drop.upper, acceptance.max_retain_drop)] for drop in drops]
    broken = any(drop.lower > acceptance.max_retain_drop for drop in drops)
    return any(map(_undecided, limits)) or (not broken and any(_unclear(one, acceptance, claims) for one in kept))


def _limits(target: TargetResult, acceptance: Acceptance) -> Iterator[tuple[float, float, float]]:
    for demand in demands(target, acceptance):
        if demand.kind != "attack" and demand.limit is not None:
            yield demand.rate.lower, demand.rate.upper, demand.limit


def _controls(target: TargetResult, acceptance: Acceptance) -> Iterator[tuple[float, float, float]]:
    """Yield the statements that the unedited model shows too little, as (lower bound, upper bound, limit).

    The verdict compares the measured share with the control, not a bound. So the upper bound here is the measured
    share.
    """
    for demand in demands(target, acceptance):
        if demand.kind != "attack":
            yield 1 - _most_before(demand.rate, acceptance), 1 - demand.rate.before, 1 - demand.control


def _most_before(rate: Rate, acceptance: Acceptance) -> float:
    return METHODS[acceptance.sampling].rate_bounds(round(rate.before * rate.n), rate.n, acceptance.confidence)[1]


def _unclear(kept: RetainResult, acceptance: Acceptance, claims: int) -> bool:
    """Return True if a collapse is suspected but not proven, or if there are too few pictures to suspect one.

    Proven means proven among `claims` claims by Bonferroni's correction.
    """
    p, total = collapse_p(kept, acceptance), kept.total
    all_lost = replace(kept, total=replace(total, lost=total.n, gained=0))
    suspected = p <= acceptance.suspicion and claims * p > acceptance.alpha
    return suspected or collapse_p(all_lost, acceptance) > acceptance.suspicion


def _undecided(statements: list[tuple[float, float, float]]) -> bool:
    """Return True unless one statement is proven broken or all are proven kept.

    Args:
        statements: (lower bound, upper bound, limit) of each.
    """
    broken = any(lower > limit for lower, _, limit in statements)
    return not broken and any(upper > limit for _, upper, limit in statements)


def _answers(questions: pd.DataFrame, evidence: pd.DataFrame) -> pd.DataFrame:
    return where(evidence, _keys(evidence).isin(_keys(questions)) & ~is_attack(evidence))


def _keys(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(list(rows[[*SHOT, "probe"]].itertuples(index=False, name=None)), index=rows.index, dtype=object)
