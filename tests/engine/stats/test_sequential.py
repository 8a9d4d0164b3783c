"""Bounds that hold at every look: exact against direct integration, valid, and worth their price."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from benchmarks.verification import stopping
from expunge.engine.stats.bounds import clopper_pearson as fixed
from expunge.engine.stats.bounds.confidence_sequence import (
    drop_bounds,
    drop_p,
    log_wealth,
    log_wealth_of_drop,
    rate_bounds,
    rate_p,
)


@pytest.mark.parametrize(("seen", "n", "limit"), [(0, 0, 0.1), (0, 30, 0.1), (3, 40, 0.2), (20, 25, 0.5), (7, 7, 0.9)])
def test_wealth_is_the_mean_over_bets(seen, n, limit):
    def bet(u: float) -> float:
        return u**seen * ((1 - limit * u) / (1 - limit)) ** (n - seen) * stats.beta.pdf(u, 0.5, 1)

    direct, _ = integrate.quad(bet, 0, 1, limit=200)
    assert math.exp(log_wealth(seen, n, limit)) == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("limit", [0.02, 0.1, 0.5, 0.9])
def test_no_bet_grows_at_the_limit_nor_above_it(limit):
    for seen, n in [(0, 0), (1, 9), (5, 20)]:
        now = math.exp(log_wealth(seen, n, limit))
        then = [math.exp(log_wealth(seen + x, n + 1, limit)) for x in (0, 1)]
        assert (1 - limit) * then[0] + limit * then[1] == pytest.approx(now, rel=1e-9)
        higher = (1 + limit) / 2
        assert (1 - higher) * then[0] + higher * then[1] <= now
        assert (1 - limit / 2) * then[0] + limit / 2 * then[1] > now  # a wrong claim loses


@pytest.mark.parametrize("limit", [-0.05, 0.0, 0.1, 0.5])
def test_no_bet_on_a_drop_grows_at_its_limit(limit):
    for gained_share in (0.0, 0.2):
        shares = np.array([gained_share + limit, gained_share, 1 - limit - 2 * gained_share])
        if (shares < 0).any():
            continue
        now = math.exp(log_wealth_of_drop(2, 1, 20, limit))
        then = [math.exp(log_wealth_of_drop(2 + a, 1 + b, 21, limit)) for a, b in ((1, 0), (0, 1), (0, 0))]
        assert float(shares @ then) == pytest.approx(now, rel=1e-9)


def test_large_counts_neither_overflow_nor_lose_their_sign():
    assert rate_p(0, 10**6, 0.1) == 0.0
    assert rate_p(9 * 10**5, 10**6, 0.1) == 1.0
    assert log_wealth(500, 10_000, 0.1) > 100
    assert drop_p(10_000, 0, 10_000, 0.05) == 1.0
    assert drop_p(0, 0, 10_000, 0.05) < 1e-100


@pytest.mark.parametrize("counts", [(0, 40), (3, 40), (20, 40), (40, 40)])
def test_bounds_are_where_the_decision_turns(counts):
    seen, n = counts
    lower, upper = rate_bounds(seen, n, 0.95)
    assert lower <= seen / n <= upper
    for bound, edge, of_limit in (
        (upper, 1e-6, lambda limit: rate_p(seen, n, limit)),
        (lower, -1e-6, lambda limit: rate_p(n - seen, n, 1 - limit)),
    ):
        if 0 < bound < 1:
            assert of_limit(bound + edge) <= 0.05 < of_limit(bound - edge)


@pytest.mark.parametrize("counts", [(0, 0, 90), (5, 2, 90), (60, 1, 90)])
def test_bounds_of_a_drop_are_where_the_decision_turns(counts):
    lost, gained, n = counts
    lower, upper = drop_bounds(lost, gained, n, 0.95)
    assert lower <= (lost - gained) / n <= upper
    assert drop_p(lost, gained, n, upper + 1e-6) <= 0.05 < drop_p(lost, gained, n, upper - 1e-6)
    assert drop_p(gained, lost, n, 1e-6 - lower) <= 0.05 < drop_p(gained, lost, n, -1e-6 - lower)


def test_the_bound_itself_is_decided():
    assert rate_p(3, 40, rate_bounds(3, 40, 0.95)[1]) <= 1 - 0.95
    assert drop_p(5, 2, 90, drop_bounds(5, 2, 90, 0.95)[1]) <= 1 - 0.95


def test_no_pictures_and_impossible_counts():
    assert (rate_bounds(0, 0, 0.95), drop_bounds(0, 0, 0, 0.95), rate_p(0, 0, 0.1)) == ((0, 1), (-1, 1), 1)
    for broken in (lambda: rate_bounds(3, 2, 0.95), lambda: drop_p(3, 0, 2, 0.1), lambda: rate_p(0, 2, math.nan)):
        with pytest.raises(ValueError, match=r"count|limit"):
            broken()


@pytest.mark.parametrize("limit", [1.0, -1.0, math.nan])
def test_a_drop_that_no_pairs_could_exceed_or_keep_is_no_limit(limit):
    with pytest.raises(ValueError, match="choose a drop above -1 and below 1"):
        drop_p(0, 0, 10, limit)


def test_anytime_bounds_are_wider_than_those_of_a_single_look():
    for seen, n in [(0, 40), (2, 96), (30, 96)]:
        (low, high), (fixed_low, fixed_high) = rate_bounds(seen, n, 0.95), fixed.rate_bounds(seen, n, 0.95)
        assert low < fixed_low or low == fixed_low == 0
        assert high > fixed_high


def test_clear_cases_cost_a_third_at_the_same_error_and_power():
    limit, n, most = stopping.RATE_LIMIT, 240, 470
    fixed_design, in_rounds = (
        stopping.fixed_rate(n, limit, limit / 2),
        stopping.rounds_of_rate(most, limit, limit / 2),
    )
    assert min(fixed_design.below, in_rounds.below) >= stopping.POWER
    assert stopping.fixed_rate(n - 10, limit, limit / 2).below < stopping.POWER  # the fixed design is not inflated
    at_limit = stopping.rounds_of_rate(most, limit, limit)
    assert max(at_limit.below, at_limit.above) <= 1 - stopping.CONFIDENCE
    for clear, side in ((0.0, "below"), (0.01, "below"), (0.02, "below"), (0.3, "above"), (0.9, "above")):
        course = stopping.rounds_of_rate(most, limit, clear)
        assert getattr(course, side) > 0.99
        assert course.pictures <= n / 3
