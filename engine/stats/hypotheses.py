"""Claims of a verdict about single concepts: each is a test with a p-value, corrected for the number of claims.

A PASS needs no correction. It demands that EVERY limit is proven, so its null hypothesis is a union. The chance of a
false PASS is that of the likeliest single error, at most alpha (intersection-union test, Berger, Technometrics 24,
1982).

A single claim does need it. Somebody who reads "this concept is proven erased" or "this kept concept has collapsed"
reads one claim out of many. All claims of a verdict form one family. After Holm's correction, all claims that still
hold are true together with a chance of at least 1 - alpha.
"""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from expunge.engine.stats.bounds.clopper_pearson import p_of_bound
from expunge.engine.stats.bounds.holm import holm
from expunge.engine.stats.estimates import METHODS, Judge, drop_bounds, rate_bounds, rounded_up
from expunge.engine.stats.evidence.table import where
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.requirements import Demand, demands
from expunge.engine.stats.verdict import Claim, GroupResult, JudgeError, Rate, RetainResult, TargetResult, target_error


def claims_of(
    targets: tuple[TargetResult, ...],
    retained: tuple[RetainResult, ...],
    groups: tuple[GroupResult, ...],
    acceptance: Acceptance,
    judge: Judge,
) -> tuple[Claim, ...]:
    """Return every claim of the verdict with its p-value and its Holm-adjusted one, both rounded up to six places."""
    drafts = [
        *(
            claim
            for target in targets
            for claim in _of_target(target, acceptance, target_error(judge, target.category))
        ),
        *(_of_group(group, acceptance, judge.get(group.category)) for group in groups),
        *(_of_retained(kept, acceptance) for kept in retained),
    ]
    adjusted = holm([claim.p for claim in drafts])
    return tuple(replace(claim, holm=rounded_up(p)) for claim, p in zip(drafts, adjusted, strict=True))


def most_claims(plan: pd.DataFrame, acceptance: Acceptance) -> int:
    """Return the largest number of claims that a verdict on this plan can make.

    Holm's correction multiplies no p-value by more. `plan` is a plan of `expunge.engine.stats.sampling_plan`.
    """
    targets, kept = (where(plan, (plan["role"] == "target") == of) for of in (True, False))
    per_target = 1 + acceptance.limits_noise + sum(map(acceptance.decides, acceptance.attacks))
    twice = where(targets, targets["probe"].isin(acceptance.unspared))
    once = *(part[["concept", "probe"]] for part in (targets, twice)), kept[["role", "category"]], kept[["concept"]]
    named = where(targets, targets["probe"].isin(acceptance.named)).drop_duplicates(["concept", "probe", "prompt"])
    several = where(named, named.duplicated(["concept", "probe"], keep=False))
    by_name = per_target * len(set(targets["concept"])) + sum(len(names.drop_duplicates()) for names in once)
    return by_name + len(several)


def _of_target(target: TargetResult, acceptance: Acceptance, error: JudgeError | None) -> Iterator[Claim]:
    for demand in demands(target, acceptance):
        if demand.kind == "noise":
            yield _below(target.concept, demand, acceptance.max_noise_rate, None)
            continue
        if demand.limit is None or demand.probe in acceptance.unspared:
            yield _survival(target.concept, demand.probe, demand.rate, acceptance, error)
        if demand.limit is not None:
            yield _below(target.concept, demand, demand.limit, error)
    for family, prompts in target.prompts.items():
        for prompt, rate in prompts.items():
            yield _survival(target.concept, family, rate, acceptance, error, prompt)


def _below(name: str, demand: Demand, limit: float, error: JudgeError | None) -> Claim:
    method, seen, n = METHODS[demand.terms.sampling], demand.rate.seen, demand.rate.n
    if error is None:
        p = method.rate_p(seen, n, limit)
    else:
        p = p_of_bound(lambda confidence: rate_bounds(method, seen, n, confidence, error)[1], limit)
    return Claim(demand.kind, name, demand.probe, limit, rounded_up(p), 1.0)


def _survival(
    name: str, probe: str, rate: Rate, acceptance: Acceptance, error: JudgeError | None, prompt: str = ""
) -> Claim:
    """Return the claim that a target survives in a prompt family or a prompt.

    The test counts the pictures that do NOT show the target: their share is below 1 - limit.
    """
    method, limit = METHODS[acceptance.sampling], acceptance.survival_of(probe)
    if error is None:
        p = method.rate_p(rate.n - rate.seen, rate.n, 1 - limit)
    else:
        p = p_of_bound(lambda sure: 1 - rate_bounds(method, rate.seen, rate.n, sure, error)[0], 1 - limit)
    return Claim("survival", name, probe, limit, rounded_up(p), 1.0, prompt)


def _of_group(group: GroupResult, acceptance: Acceptance, error: JudgeError | None) -> Claim:
    method, total, limit = METHODS[acceptance.sampling], group.total, acceptance.max_retain_drop
    lost, gained, n = total.lost, total.gained, total.n
    if error is None:
        p = method.drop_p(lost, gained, n, limit)
    else:
        p = p_of_bound(lambda confidence: drop_bounds(method, lost, gained, n, confidence, error)[1], limit)
    return Claim("group", group.name, "", limit, rounded_up(p), 1.0)


def _of_retained(kept: RetainResult, acceptance: Acceptance) -> Claim:
    return Claim("collapse", kept.concept, "", acceptance.max_retain_drop, collapse_p(kept, acceptance), 1.0)


def collapse_p(kept: RetainResult, acceptance: Acceptance) -> float:
    """Return the p-value of "it dropped by the limit or less": the test of a drop with lost and gained exchanged."""
    method, total = METHODS[acceptance.sampling], kept.total
    return rounded_up(method.drop_p(total.gained, total.lost, total.n, -acceptance.max_retain_drop))
