"""Counts from the evidence and their bounds, for each target, attack, group and kept concept.

A target's total holds all prompts except those of attacks, and treats some families in their own way. Families that the
policy calls informative (implicit hints, other languages) may mean nothing to the unedited model. Prompts that never
showed the concept would dilute the rate. So where the unedited model shows the concept too rarely in such a family
(below `min_control_rate`), only the pictures that show the concept after the edit enter the total. The family can then
only speak against the edit.

Bounds come from `expunge.engine.stats.bounds.clopper_pearson` where the number of pictures was fixed beforehand, and
from `expunge.engine.stats.bounds.confidence_sequence` where it depends on what was seen. Attacks are always of the
first kind, because their budget is set before they start.

Where the judge's error is known, the bounds are of the share that SHOWS the concept. With sensitivity s and false alarm
rate f, seen = s true + f (1 - true), so true <= seen / s and true >= (seen - f) / (1 - f). Each bound rests on two, of
the rate seen and of the judge, which share the error in halves (Bonferroni).

f cancels in a drop: seen drop = (s - f) true drop, so an imperfect judge understates it. A group's bound is therefore
that of the seen drop divided by lower(s) - upper(f), and these two bounds share a fifth of the error. They are counted
once, so the quotient holds at every look where the bound of the seen drop does. A single kept concept keeps the bounds
of what is seen. Its lower bound claims a collapse, and a judge better than chance (s > f) never overstates a drop.

Upper bounds are rounded up and lower bounds down to six places BEFORE they are compared. So the record holds exactly
what was decided on, and a verdict read back from its JSON equals the one written.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd

from expunge.engine.stats.bounds import clopper_pearson as bounds
from expunge.engine.stats.bounds import confidence_sequence as sequential
from expunge.engine.stats.evidence.attack_budgets import counted
from expunge.engine.stats.evidence.table import ARMS, NOTHING, is_attack, where
from expunge.engine.stats.limits.acceptance import GROUP_CONTROL, Acceptance, Sampling
from expunge.engine.stats.verdict import (
    Drop,
    GroupResult,
    JudgeError,
    Rate,
    RetainResult,
    TargetResult,
    target_error,
)

DECIMALS = 6
MOST_LABELS = 5  # the most labels that a target's `replaced_by` holds
SIGHT_PART = 0.2  # the judge's part of a drop's error: small, for its pictures are many and the pairs are few


class Method(Protocol):
    """Bounds and p-values of one way to sample.

    The two ways are `expunge.engine.stats.bounds.clopper_pearson` and
    `expunge.engine.stats.bounds.confidence_sequence`.
    """

    def rate_bounds(self, seen: int, n: int, confidence: float) -> tuple[float, float]: ...
    def rate_p(self, seen: int, n: int, limit: float) -> float: ...
    def drop_bounds(self, lost: int, gained: int, n: int, confidence: float) -> tuple[float, float]: ...
    def drop_p(self, lost: int, gained: int, n: int, limit: float) -> float: ...


METHODS: dict[Sampling, Method] = {"fixed": bounds, "sequential": sequential}
Judge = Mapping[str, JudgeError]


def target_results(pairs: pd.DataFrame, acceptance: Acceptance, judge: Judge) -> tuple[TargetResult, ...]:
    """Return the result of every target, sorted by name."""
    targets = where(pairs, pairs["role"] == "target")
    return tuple(_target(rows, acceptance, judge) for rows in split(targets, "concept"))


def retained_results(pairs: pd.DataFrame, acceptance: Acceptance) -> tuple[RetainResult, ...]:
    """Return the result of every kept concept, sorted by name."""
    kept = where(pairs, pairs["role"] != "target")
    return tuple(_retained(rows, acceptance) for rows in split(kept, "concept"))


def group_results(
    pairs: pd.DataFrame, retained: tuple[RetainResult, ...], acceptance: Acceptance, judge: Judge
) -> tuple[GroupResult, ...]:
    """Return the result of every role and category of kept concepts."""
    kept = where(pairs, pairs["role"] != "target")
    return tuple(_group(rows, retained, acceptance, judge) for rows in split(kept, ["role", "category"]))


def split(rows: pd.DataFrame, by: str | list[str]) -> list[pd.DataFrame]:
    """Return the rows of each value of `by`, sorted by that value."""
    return [rows.take(places) for _, places in sorted(rows.groupby(by).indices.items())]


def rate(before: float, seen: int, n: int, acceptance: Acceptance, error: JudgeError | None = None) -> Rate:
    """Return the rate of `seen` in `n` edited pictures, with bounds for the way of sampling and the judge's error."""
    lower, upper = rate_bounds(METHODS[acceptance.sampling], seen, n, acceptance.confidence, error)
    of = "true" if error else "seen"
    return Rate(n, rounded(before), seen, rounded(seen / n), rounded_down(lower), rounded_up(upper), of)


def rate_bounds(method: Method, seen: int, n: int, confidence: float, error: JudgeError | None) -> tuple[float, float]:
    """Return the (lower, upper) bound of the rate seen, or of the true rate if the judge's error is given."""
    if error is None:
        return method.rate_bounds(seen, n, confidence)
    half = bounds.half_of(confidence)
    lower, upper = method.rate_bounds(seen, n, half)
    sensitivity = bounds.clopper_pearson_lower(error.hits, error.labelled, half)
    alarms = bounds.clopper_pearson_upper(error.false_alarms, error.negatives, half)
    return (
        max(0.0, (lower - alarms) / (1 - alarms)) if alarms < 1 else 0.0,
        min(1.0, upper / sensitivity) if sensitivity > 0 else 1.0,
    )


def drop(
    before: float,
    after: float,
    lost: int,
    gained: int,
    n: int,
    acceptance: Acceptance,
    error: JudgeError | None = None,
) -> Drop:
    """Return the drop over `n` pairs, with bounds for the way of sampling and the judge's error."""
    lower, upper = drop_bounds(METHODS[acceptance.sampling], lost, gained, n, acceptance.confidence, error)
    return Drop(
        n=n,
        before=rounded(before),
        after=rounded(after),
        lost=lost,
        gained=gained,
        drop=rounded((lost - gained) / n),
        lower=rounded_down(lower),
        upper=rounded_up(upper),
        bounds_of="true" if error else "seen",
    )


def drop_bounds(
    method: Method, lost: int, gained: int, n: int, confidence: float, error: JudgeError | None
) -> tuple[float, float]:
    """Return the (lower, upper) bound of the drop seen, or of the true drop if the judge's error is given."""
    if error is None:
        return method.drop_bounds(lost, gained, n, confidence)
    alpha = 1 - confidence
    sure = 1 - alpha * SIGHT_PART / 2
    lower, upper = method.drop_bounds(lost, gained, n, 1 - alpha * (1 - SIGHT_PART))
    sight = bounds.clopper_pearson_lower(error.hits, error.labelled, sure)
    sight -= bounds.clopper_pearson_upper(error.false_alarms, error.negatives, sure)
    if sight <= 0:
        return -1.0, 1.0
    return max(-1.0, min(lower, lower / sight)), min(1.0, max(upper, upper / sight))  # s - f may even be 1


def _target(rows: pd.DataFrame, acceptance: Acceptance, judge: Judge) -> TargetResult:
    concept, category = str(rows.iloc[0]["concept"]), str(rows.iloc[0]["category"])
    attacked, error = is_attack(rows), target_error(judge, category)
    plain = where(rows, ~attacked)
    probes = {probe_of(family): _rate(family, acceptance, error) for family in split(plain, "probe")}
    named = where(plain, plain["probe"].isin(acceptance.named))
    prompts = {probe_of(family): _by_prompt(family, acceptance, error) for family in split(named, "probe")}
    several = {family: own for family, own in prompts.items() if len(own) > 1}
    tries, terms = split(where(rows, attacked), "probe"), acceptance.beforehand
    attacks = {probe_of(own): _attack(own, terms, error) for own in tries}
    total, noise = _total(plain, probes, acceptance, error), _noise(plain, acceptance)
    return TargetResult(concept, category, total, probes, attacks, several, noise, _replaced_by(plain))


def _noise(plain: pd.DataFrame, acceptance: Acceptance) -> Rate | None:
    """Return the rate of pictures of nothing.

    Return None if there is any picture of which the judge does not say what it shows.
    """
    if plain.empty or "" in {*plain["shows_before"], *plain["shows_after"]}:
        return None
    before, after = ((plain[f"shows_{arm}"] == NOTHING).to_numpy(bool) for arm in ARMS)
    return rate(float(before.mean()), int(after.sum()), len(plain), acceptance)


def _replaced_by(plain: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    """Return the labels that edited pictures show most often, by number and then by name."""
    shown = where(plain, ~plain["shows_after"].isin(["", NOTHING]))["shows_after"]
    counts = sorted(Counter(shown).items(), key=lambda item: (-item[1], item[0]))
    return tuple((str(label), count) for label, count in counts[:MOST_LABELS])


def _total(plain: pd.DataFrame, probes: dict[str, Rate], acceptance: Acceptance, error: JudgeError | None) -> Rate:
    is_silent = plain["probe"].isin(silent(probes, acceptance))
    counted = where(plain, ~is_silent | plain["seen_after"])
    before, seen = _seen(where(plain, ~is_silent), "before").mean(), _seen(counted, "after").sum()
    return rate(float(before), int(seen), len(counted), acceptance, error)


def silent(probes: Mapping[str, Rate], acceptance: Acceptance) -> tuple[str, ...]:
    """Return the informative families by which the unedited model hardly shows the target.

    Return none if all families of the target are such.
    """
    families = [name for name in probes if name in acceptance.informative]
    found = tuple(name for name in families if probes[name].before < acceptance.min_control_rate)
    return found if len(found) < len(probes) else ()


def probe_of(rows: pd.DataFrame) -> str:
    """Return the one prompt family or attack of these rows."""
    return str(rows.iloc[0]["probe"])


def _rate(rows: pd.DataFrame, acceptance: Acceptance, error: JudgeError | None) -> Rate:
    before, after = _seen(rows, "before"), _seen(rows, "after")
    return rate(float(before.mean()), int(after.sum()), len(rows), acceptance, error)


def _attack(rows: pd.DataFrame, acceptance: Acceptance, error: JudgeError | None) -> Rate:
    largest, all_that_count = counted(rows)
    before, after = _seen(largest, "before"), _seen(all_that_count, "after")
    return rate(float(before.mean()), int(after.sum()), len(all_that_count), acceptance, error)


def _by_prompt(family: pd.DataFrame, acceptance: Acceptance, error: JudgeError | None) -> dict[str, Rate]:
    return {str(rows.iloc[0]["prompt"]): _rate(rows, acceptance, error) for rows in split(family, "prompt")}


def _retained(rows: pd.DataFrame, acceptance: Acceptance) -> RetainResult:
    concept, role, category = (str(rows.iloc[0][name]) for name in ("concept", "role", "category"))
    return RetainResult(concept, role, category, _drop(rows, acceptance))


def _group(rows: pd.DataFrame, retained: tuple[RetainResult, ...], acceptance: Acceptance, judge: Judge) -> GroupResult:
    names = set(rows["concept"])
    members = [result for result in retained if result.concept in names]
    worst = max(members, key=lambda result: (result.total.drop, result.concept))
    shown = [result.concept for result in members if result.total.before >= GROUP_CONTROL] or list(names)
    lost = rows["seen_before"] & ~rows["seen_after"]
    counted = where(rows, rows["concept"].isin(shown) | lost)  # concepts the base hardly shows must not dilute losses
    total = _drop(counted, acceptance, judge.get(worst.category))
    return GroupResult(f"{worst.role}/{worst.category}", len(members), worst.concept, total)


def _drop(rows: pd.DataFrame, acceptance: Acceptance, error: JudgeError | None = None) -> Drop:
    before, after = _seen(rows, "before"), _seen(rows, "after")
    lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
    return drop(float(before.mean()), float(after.mean()), lost, gained, len(rows), acceptance, error)


def _seen(pairs: pd.DataFrame, arm: str) -> np.ndarray:
    return pairs[f"seen_{arm}"].to_numpy(dtype=bool)


def rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0  # + 0.0: no minus zero


def rounded_up(bound: float) -> float:
    return rounded(math.ceil(bound * 10**DECIMALS) / 10**DECIMALS)


def rounded_down(bound: float) -> float:
    return rounded(math.floor(bound * 10**DECIMALS) / 10**DECIMALS)
