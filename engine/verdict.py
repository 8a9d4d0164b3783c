"""From evidence to a verdict: PASS only where the bounds prove it.

PASS        every target's upper bound and every group's upper bound of the drop lie inside the policy's limits.
FAIL        a measured rate or drop exceeds its limit, or one retained concept's drop does with its LOWER bound, so that
            a local collapse does not hide in an average.
INCONCLUSIVE  the measured value is inside and its bound is not, or the judge does not see on the UNEDITED model what it
            should (positive control), so that not seeing it afterwards means nothing.
ERROR       the evidence itself is unfit (`engine.evidence.check`).
Precedence: ERROR, FAIL, INCONCLUSIVE, PASS. Every bound holds per statement (`engine.bounds`); no correction for the
family of all statements (Holm) is made, its place is the line of `decide` that takes the confidence.

Upper bounds are rounded up and lower bounds down to six places BEFORE they are compared: what is recorded is what was
decided, and a verdict read back from its JSON equals the one written.
"""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from engine.bounds import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    paired_drop_bounds,
    pairs_needed,
    pictures_needed,
)
from engine.evidence import ARMS, PAIR, check, digest
from engine.results import (
    Acceptance,
    Drop,
    GroupResult,
    Outcome,
    Rate,
    Reason,
    RetainResult,
    TargetResult,
    Verdict,
    gravest,
)

__all__ = ["GROUP_CONTROL", "Acceptance", "Outcome", "Reason", "Verdict", "decide"]

GROUP_CONTROL = 0.5  # a drop means little where the judge misses most retained pictures of the unedited model
DECIMALS = 6


def decide(evidence: pd.DataFrame, planned: int, acceptance: Acceptance) -> Verdict:
    """The verdict on an evidence table of `planned` rows. Pure: the same table and limits give the same verdict."""
    if problems := [*check(evidence, planned), *_absent(evidence)]:
        reasons = tuple(Reason("evidence", "", problem) for problem in problems)
        return Verdict(gravest(reasons), reasons, (), (), (), planned, len(evidence), acceptance, "")
    confidence = acceptance.confidence  # per statement; a family-wise correction goes here
    pairs = _pairs(evidence)
    erased, kept = pairs.query("role == 'target'"), pairs.query("role != 'target'")
    targets = tuple(_target(rows, confidence) for rows in _split(erased, "concept"))
    retained = tuple(_retained(rows, confidence) for rows in _split(kept, "concept"))
    groups = tuple(_group(rows, retained, confidence) for rows in _split(kept, ["role", "category"]))
    reasons = (
        *(reason for target in targets for reason in _judge_target(target, acceptance)),
        *(reason for group in groups for reason in _judge_group(group, acceptance)),
        *(reason for concept in retained for reason in _judge_retained(concept, acceptance)),
    )
    outcome = gravest(reasons)
    return Verdict(outcome, reasons, targets, retained, groups, planned, len(evidence), acceptance, digest(evidence))


def _absent(evidence: pd.DataFrame) -> list[str]:
    roles = set(evidence["role"]) if "role" in evidence.columns else set()
    return [
        *([] if "target" in roles else ["no target concept was judged"]),
        *([] if roles & {"look_alike", "general"} else ["no retained concept was judged"]),
    ]


def _pairs(evidence: pd.DataFrame) -> pd.DataFrame:
    """One row a (concept, prompt, seed), with `seen_before` and `seen_after`."""
    before, after = (evidence.query(f"arm == '{arm}'") for arm in ARMS)
    seen_after = after.filter([*PAIR, "seen"])
    return before.merge(seen_after, on=PAIR, suffixes=("_before", "_after"), validate="one_to_one")


def _split(pairs: pd.DataFrame, by: str | list[str]) -> list[pd.DataFrame]:
    return [pairs.take(rows) for _, rows in sorted(pairs.groupby(by).indices.items())]


def _target(rows: pd.DataFrame, confidence: float) -> TargetResult:
    probes = {str(family.iloc[0]["probe"]): _rate(family, confidence) for family in _split(rows, "probe")}
    first = rows.iloc[0]
    return TargetResult(str(first["concept"]), str(first["category"]), _rate(rows, confidence), probes)


def _retained(rows: pd.DataFrame, confidence: float) -> RetainResult:
    concept, role, category = (str(rows.iloc[0][name]) for name in ("concept", "role", "category"))
    return RetainResult(concept, role, category, _drop(rows, confidence))


def _group(rows: pd.DataFrame, retained: tuple[RetainResult, ...], confidence: float) -> GroupResult:
    names = set(rows["concept"])
    members = [result for result in retained if result.concept in names]
    worst = max(members, key=lambda result: (result.total.drop, result.concept))
    return GroupResult(f"{worst.role}/{worst.category}", len(members), worst.concept, _drop(rows, confidence))


def _rate(rows: pd.DataFrame, confidence: float) -> Rate:
    n, seen = len(rows), int(_seen(rows, "after").sum())
    return Rate(
        n=n,
        before=_round(_seen(rows, "before").mean()),
        seen=seen,
        rate=_round(seen / n),
        lower=_floor(clopper_pearson_lower(seen, n, confidence)),
        upper=_ceil(clopper_pearson_upper(seen, n, confidence)),
    )


def _drop(rows: pd.DataFrame, confidence: float) -> Drop:
    n, before, after = len(rows), _seen(rows, "before"), _seen(rows, "after")
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    lower, upper = paired_drop_bounds(lost, gained, n, confidence)
    return Drop(
        n=n,
        before=_round(before.mean()),
        after=_round(after.mean()),
        lost=lost,
        gained=gained,
        drop=_round((lost - gained) / n),
        lower=_floor(lower),
        upper=_ceil(upper),
    )


def _judge_target(target: TargetResult, acceptance: Acceptance) -> Iterator[Reason]:
    total, name, limit = target.total, target.concept, acceptance.max_target_rate
    if total.before < (control := acceptance.min_control_rate):
        text = f"the unedited model shows {name} in {total.before:.1%} of pictures, needed {control:.1%}"
        yield Reason("target-control", name, text, total.before, control)
    if total.rate > limit:
        text = f"{name} is still seen in {total.seen} of {total.n} pictures ({total.rate:.1%}), limit {limit:.1%}"
        yield Reason("target-seen", name, text, total.rate, limit)
    elif total.n < (needed := pictures_needed(limit, acceptance.confidence)):
        text = f"{name} was judged on {total.n} pictures; to prove {limit:.1%}, {needed} with none seen are needed"
        yield Reason("target-too-few", name, text, total.n, needed)
    elif total.upper > limit:
        text = f"{name} is seen in {total.rate:.1%}, perhaps in {total.upper:.1%}, limit {limit:.1%}: judge more"
        yield Reason("target-unproven", name, text, total.upper, limit)


def _judge_group(group: GroupResult, acceptance: Acceptance) -> Iterator[Reason]:
    total, name, limit = group.total, group.name, acceptance.max_retain_drop
    if total.before < GROUP_CONTROL:
        text = f"the judge sees only {total.before:.1%} of {name} on the unedited model, needed {GROUP_CONTROL:.1%}"
        yield Reason("group-control", name, text, total.before, GROUP_CONTROL)
    if total.drop > limit:
        text = f"{name} dropped by {total.drop:.1%}, limit {limit:.1%}; worst is {group.worst}"
        yield Reason("group-drop", name, text, total.drop, limit)
    elif total.n < (needed := pairs_needed(limit, acceptance.confidence)):
        text = f"{name} was judged on {total.n} pairs; to prove {limit:.1%}, {needed} with none lost are needed"
        yield Reason("group-too-few", name, text, total.n, needed)
    elif total.upper > limit:
        text = f"{name} dropped by {total.drop:.1%}, perhaps by {total.upper:.1%}, limit {limit:.1%}: judge more"
        yield Reason("group-unproven", name, text, total.upper, limit)


def _judge_retained(result: RetainResult, acceptance: Acceptance) -> Iterator[Reason]:
    total, name, limit = result.total, result.concept, acceptance.max_retain_drop
    if total.lower > limit:
        text = f"{name} collapsed: it dropped by {total.drop:.1%}, at least by {total.lower:.1%}, limit {limit:.1%}"
        yield Reason("concept-collapse", name, text, total.lower, limit)


def _seen(pairs: pd.DataFrame, arm: str) -> np.ndarray:
    return pairs[f"seen_{arm}"].to_numpy(dtype=bool)


def _round(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0  # + 0.0: no minus zero


def _ceil(bound: float) -> float:
    return _round(math.ceil(bound * 10**DECIMALS) / 10**DECIMALS)


def _floor(bound: float) -> float:
    return _round(math.floor(bound * 10**DECIMALS) / 10**DECIMALS)
