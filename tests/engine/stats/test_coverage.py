"""2,000 simulated takedowns whose edit is not good enough by a hair: how often does a rule call them a PASS?"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from expunge.engine.stats.bounds import clopper_pearson as bounds
from expunge.engine.stats.bounds import confidence_sequence as sequential
from expunge.engine.stats.bounds.holm import holm
from expunge.engine.stats.decide import judged
from expunge.engine.stats.estimates import drop, rate
from expunge.engine.stats.hypotheses import claims_of
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import GroupResult, JudgeError, Outcome, RetainResult, TargetResult, gravest

RUNS = 2000
LIMITS = Acceptance(max_target_rate=0.1, max_retain_drop=0.05, min_control_rate=0.8, confidence=0.95)
MOST = LIMITS.alpha + 3 * np.sqrt(LIMITS.alpha * (1 - LIMITS.alpha) / RUNS)  # three Monte Carlo standard errors


@cache
def outcome(seen: tuple[int, ...], lost: int, n: int, pairs: int, limits: Acceptance | None = None) -> Outcome:
    """The verdict on targets seen in so many of n pictures, and a group that lost so many of its pairs."""
    limits = limits or LIMITS
    targets = tuple(TargetResult(f"t{i}", "object", rate(1.0, k, n, limits), {}) for i, k in enumerate(seen))
    total = drop(1.0, 1 - lost / pairs, lost, 0, pairs, limits)
    kept = (RetainResult("fox", "look_alike", "object", total),)
    groups = (GroupResult("look_alike/object", 1, "fox", total),)
    claims = claims_of(targets, kept, groups, limits, {})
    return gravest(tuple(judged(targets, kept, groups, claims, limits, {})))


@pytest.mark.parametrize(
    ("rates", "loss"),
    [((0.1,), 0.0), ((0.1, 0.0, 0.0), 0.0), ((0.0,), 0.05), ((0.1,), 0.05)],
    ids=["target", "one of three targets", "group", "target and group"],
)
def test_a_verdict_at_the_limit_passes_with_a_chance_of_at_most_alpha(rates, loss):
    rng = np.random.default_rng(5)
    seen, lost = rng.binomial(96, rates, size=(RUNS, len(rates))), rng.binomial(200, loss, size=RUNS)
    found = [outcome(tuple(map(int, k)), int(x), 96, 200) for k, x in zip(seen, lost, strict=True)]
    assert found.count(Outcome.PASS) / RUNS <= MOST


def test_a_rule_that_trusts_the_measured_rate_would_not():
    seen = np.random.default_rng(5).binomial(96, 0.1, size=RUNS)
    assert (seen / 96 <= 0.1).mean() > 0.4


def looks(true: float, most: int, every: int) -> np.ndarray:
    """Pictures seen up to each look, int [RUNS, looks]."""
    return np.random.default_rng(9).binomial(every, true, size=(RUNS, most // every)).cumsum(axis=1)


def ever(seen: np.ndarray, every: int, proves) -> float:
    """The share of runs that are ever called proven."""
    table = cache(lambda k, n: bool(proves(k, n)))
    return float(np.mean([any(table(int(k), (i + 1) * every) for i, k in enumerate(run)) for run in seen]))


@pytest.mark.parametrize("limit", [0.05, 0.1, 0.3])
def test_looking_again_and_again_is_wrong_with_a_chance_of_at_most_alpha(limit):
    seen = looks(limit, 400, 8)
    assert ever(seen, 8, lambda k, n: sequential.rate_p(k, n, limit) <= LIMITS.alpha) <= MOST
    assert ever(seen, 8, lambda k, n: sequential.rate_p(n - k, n, 1 - limit) <= LIMITS.alpha) <= MOST


def test_looking_again_and_again_with_bounds_for_one_look_would_be():
    assert ever(looks(0.1, 400, 8), 8, lambda k, n: bounds.clopper_pearson_upper(k, n, 0.95) <= 0.1) > 2 * 0.05


def test_prompts_of_different_difficulty_keep_the_error():
    """Half of the prompts never show the concept, the other half in a fifth of pictures: the mean is the limit."""
    seen = np.random.default_rng(3).binomial(4, 0.2, size=(RUNS, 50)).cumsum(axis=1)  # of 8 pictures a round
    assert ever(seen, 8, lambda k, n: sequential.rate_p(k, n, 0.1) <= LIMITS.alpha) <= MOST


@pytest.mark.parametrize(("gain", "limit"), [(0.0, 0.05), (0.03, 0.05), (0.2, 0.1)])
def test_looking_at_drops_again_and_again_is_wrong_with_a_chance_of_at_most_alpha(gain, limit):
    shares = [gain + limit, gain, 1 - limit - 2 * gain]
    steps = np.random.default_rng(13).multinomial(20, shares, size=(RUNS, 12))[..., :2].cumsum(axis=1)
    p = cache(sequential.drop_p)
    below, above = (
        [any(p(*map(int, run[i][order]), 20 * (i + 1), at) <= LIMITS.alpha for i in range(len(run))) for run in steps]
        for order, at in ((slice(None), limit), (slice(None, None, -1), -limit))
    )
    assert max(np.mean(below), np.mean(above)) <= MOST


def test_one_of_many_targets_is_falsely_called_erased_with_a_chance_of_at_most_alpha():
    """20 targets, each of which is seen at exactly the limit, and whoever reads the verdict picks the best of them."""
    p = cache(lambda seen: bounds.rate_p(seen, 96, 0.1))
    herds = [[p(int(seen)) for seen in run] for run in np.random.default_rng(21).binomial(96, 0.1, size=(RUNS, 20))]
    assert np.mean([min(holm(herd)) <= LIMITS.alpha for herd in herds]) <= MOST
    assert np.mean([min(herd) <= LIMITS.alpha for herd in herds]) > 0.4  # without the correction


def test_one_of_many_kept_concepts_is_falsely_called_collapsed_with_a_chance_of_at_most_alpha():
    """20 kept concepts, each of which drops by exactly the limit."""
    p = cache(lambda lost: bounds.drop_p(0, lost, 96, -0.05))
    lost = np.random.default_rng(21).binomial(96, 0.05, size=(RUNS, 20))
    assert np.mean([min(holm([p(int(k)) for k in run])) <= LIMITS.alpha for run in lost]) <= MOST
    assert (lost / 96 > 0.05).any(axis=1).mean() > 0.9  # a rule that trusts the measured drop


def test_the_judges_error_is_covered():
    """The judge sees 80 % of what is there; its sensitivity is itself known from 200 pictures only."""
    rng, true, sensitivity = np.random.default_rng(2), 0.1, 0.8
    seen, hits = rng.binomial(300, true * sensitivity, size=RUNS), rng.binomial(200, sensitivity, size=RUNS)
    corrected = cache(lambda k, h: rate(1.0, k, 300, LIMITS, JudgeError(h, 200, 0, 200)).upper)
    naive = cache(lambda k: rate(1.0, k, 300, LIMITS).upper)
    assert np.mean([corrected(int(k), int(h)) < true for k, h in zip(seen, hits, strict=True)]) <= MOST
    assert np.mean([naive(int(k)) < true for k in seen]) > 2 * LIMITS.alpha


@pytest.mark.parametrize(("sampling", "rounds"), [("fixed", 1), ("sequential", 4)])
def test_the_judges_error_is_covered_in_drops(sampling, rounds):
    """It sees 80 % of what is there and 5 % of what is not; a tenth is lost, all other pictures stay as they were."""
    limits, true = replace(LIMITS, sampling=sampling), 0.1
    rng = np.random.default_rng(4)
    shares = [true * 0.8 * 0.95, true * 0.2 * 0.05]  # seen before only, seen after only
    steps = rng.multinomial(400 // rounds, [*shares, 1 - sum(shares)], size=(RUNS, rounds))[..., :2].cumsum(axis=1)
    runs = [[(int(a), int(b), 400 // rounds * (i + 1)) for i, (a, b) in enumerate(run)] for run in steps]
    errors = [JudgeError(int(h), 400, int(f), 400) for h, f in rng.binomial(400, (0.8, 0.05), size=(RUNS, 2))]
    naive = cache(lambda lost, gained, n: drop(1, 1, lost, gained, n, limits).upper < true)

    def missed(lost: int, gained: int, n: int, error: JudgeError) -> bool:
        """The corrected bound is never below the naive one, which is known already."""
        return naive(lost, gained, n) and drop(1, 1, lost, gained, n, limits, error).upper < true

    found = [any(missed(*look, error) for look in run) for run, error in zip(runs, errors, strict=True)]
    assert np.mean(found) <= MOST
    assert np.mean([any(naive(*look) for look in run) for run in runs]) > 2 * LIMITS.alpha
