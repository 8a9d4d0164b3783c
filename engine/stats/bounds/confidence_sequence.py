"""Bounds that hold at every look: judging may stop as soon as a limit is met or missed, and the error stays as stated.

Take a bet against the claim "the rate is `limit` or more". It starts with 1, and every picture multiplies it: by u when
the concept is seen, by (1 - limit u) / (1 - limit) when it is not. Here u in [0, 1] is the presumed rate as a share of
the limit. While the claim is true, no such bet grows on average. So by Ville's inequality it ever reaches 1 / alpha
with a chance of at most alpha, whenever one looks and for whatever reason one stops. As u is unknown, we average over u
~ Beta(1/2, 1). This is the mixture of Robbins (Ann. Math. Statist. 41, 1970) and has a closed form:

    wealth = 1/2 B(a, b) I(limit; a, b) / (limit^a (1 - limit)^(n - seen)),   a = 1/2 + seen, b = n - seen + 1

with I the regularised incomplete beta function. The wealth grows with `limit`, so the limits at which it stays below 1
/ alpha are those below one number. That number is the upper bound, an anytime-valid confidence sequence (Howard et al.,
arXiv 1810.08240). The lower bound is 1 minus the upper bound of the share of pictures in which it is not seen.

A drop is the mean of a variable that is 1 (lost), -1 (gained) or 0. The same bet on it multiplies by 1 - f, by 1 + f (1
+ limit) / (1 - limit) and by 1 + f limit / (1 - limit), with f = 1 - u (betting, Waudby-Smith and Ramdas, arXiv
2010.09686, section 4). Here the average is over STEPS values of u: a finite mixture, and so exact.

Prompts may differ in difficulty. Over a round with every prompt in it, a bet's product is at most the one that the mean
rate gives, because a geometric mean is at most the arithmetic one. So the bounds hold for the mean over prompts if one
stops between rounds.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import betainc, betaln

from expunge.engine.stats.bounds.clopper_pearson import refuse

PRIOR = 0.5
STEPS = 64
HALVINGS = 32

_SHARES = ((np.arange(STEPS) + 0.5) / STEPS) ** (1 / PRIOR)  # middles of STEPS equally likely parts of Beta(PRIOR, 1)


def log_wealth(seen: int, n: int, limit: float) -> float:
    """Return the logarithm of the bet's wealth against "the rate is `limit` or more"; 0 before the first picture."""
    refuse(seen, n, limit)
    a, b = PRIOR + seen, n - seen + 1
    mass = float(betainc(a, b, limit))
    if mass == 0:  # it underflows where the concept is seen far more often than the limit
        return -math.inf
    return math.log(PRIOR) + float(betaln(a, b)) + math.log(mass) - a * math.log(limit) - (b - 1) * math.log1p(-limit)


def log_wealth_of_drop(lost: int, gained: int, n: int, limit: float) -> float:
    """Return the logarithm of the bet's wealth against "the drop is `limit` or more".

    Raises ValueError on impossible counts, and unless `limit` lies in (-1, 1).
    """
    if min(lost, gained, n - lost - gained) < 0:
        raise ValueError(f"{lost} lost and {gained} gained of {n} pairs is no count")
    if not -1 < limit < 1:
        raise ValueError(f"limit is {limit}: choose a drop above -1 and below 1")
    bet = (1 - _SHARES) / (1 - limit)
    logs = lost * np.log(_SHARES) + gained * np.log1p(bet * (1 + limit)) + (n - lost - gained) * np.log1p(bet * limit)
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def rate_p(seen: int, n: int, limit: float) -> float:
    """Return the p-value of "the rate is `limit` or more" that holds at every look: 1 / wealth, at most 1."""
    return math.exp(min(0.0, -log_wealth(seen, n, limit)))


def drop_p(lost: int, gained: int, n: int, limit: float) -> float:
    """Return the p-value of "the drop is `limit` or more" that holds at every look.

    For "the drop is `limit` or less", exchange lost and gained and give -limit.
    """
    return math.exp(min(0.0, -log_wealth_of_drop(lost, gained, n, limit)))


def rate_bounds(seen: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the (lower, upper) bound of the rate.

    Each bound holds at all looks together with `confidence`. Without pictures they are (0, 1).
    """
    return 1 - _rate_upper(n - seen, n, confidence), _rate_upper(seen, n, confidence)


def drop_bounds(lost: int, gained: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the (lower, upper) bound of the drop.

    Each bound holds at all looks together with `confidence`. Without pairs they are (-1, 1).
    """
    return -_drop_upper(gained, lost, n, confidence), _drop_upper(lost, gained, n, confidence)


def _rate_upper(seen: int, n: int, confidence: float) -> float:
    refuse(seen, n, confidence)
    return 1.0 if seen == n else _least(seen / n, confidence, lambda limit: rate_p(seen, n, limit))


def _drop_upper(lost: int, gained: int, n: int, confidence: float) -> float:
    refuse(lost, n, confidence)
    return 1.0 if lost == n else _least((lost - gained) / n, confidence, lambda limit: drop_p(lost, gained, n, limit))


def _least(low: float, confidence: float, p: Callable[[float], float]) -> float:
    """Return the least limit above `low` that is proven at this confidence, rounded up."""
    high = 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if p(middle) <= 1 - confidence else (middle, high)
    return high
