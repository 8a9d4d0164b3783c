"""Exact one-sided bounds of a share and of a paired drop, and the p-values that match them.

A share is bounded by Clopper and Pearson (Biometrika 26, 1934). With k of n seen, upper = Beta quantile(confidence; k +
1, n - k) and lower = Beta quantile(1 - confidence; k, n - k + 1).

A drop is paired: the same prompt and seed before and after. With `lost` = seen before only and `gained` = seen after
only, drop = (lost - gained) / n. Each of the two shares is bounded exactly at alpha / 2, with alpha = 1 - confidence.
So upper = CP upper(lost) - CP lower(gained) covers the true drop with at least the confidence (union bound). Likewise
lower = CP lower(lost) - CP upper(gained).

A p-value is the smallest alpha at which the bound still keeps the limit. For a share it is the binomial tail.

The number of pictures is fixed beforehand. Where it depends on what was seen,
`expunge.engine.stats.bounds.confidence_sequence` applies. Prompts may differ in difficulty. If every prompt is asked
equally often, the tail of the binomial is the larger one (Hoeffding, Ann. Math. Statist. 27, 1956, theorem 4), so the
bounds hold for the mean over these prompts.
"""

from collections.abc import Callable

from scipy.special import betaincc, betaincinv

SMALLEST = 2.0**-30  # the resolution of a p-value that a search finds
MOST_PICTURES = 2**31


def clopper_pearson_upper(k: int, n: int, confidence: float) -> float:
    """Return the upper bound of a share of which k of n were seen; 1.0 without pictures.

    Raises ValueError unless 0 <= k <= n and 0 < confidence < 1.
    """
    refuse(k, n, confidence)
    return 1.0 if k == n else float(betaincinv(k + 1, n - k, confidence))


def clopper_pearson_lower(k: int, n: int, confidence: float) -> float:
    """Return the lower bound of a share of which k of n were seen; 0.0 without pictures.

    Raises ValueError unless 0 <= k <= n and 0 < confidence < 1.
    """
    refuse(k, n, confidence)
    return 0.0 if k == 0 else float(betaincinv(k, n - k + 1, 1 - confidence))


def rate_bounds(seen: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the (lower, upper) bound of a share, each at `confidence`; (0, 1) without pictures."""
    return clopper_pearson_lower(seen, n, confidence), clopper_pearson_upper(seen, n, confidence)


def rate_p(seen: int, n: int, limit: float) -> float:
    """Return the p-value of "the share is `limit` or more": the chance of `seen` or fewer of n at the limit."""
    refuse(seen, n, limit)
    return 1.0 if seen == n else float(betaincc(seen + 1, n - seen, limit))


def drop_bounds(lost: int, gained: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the (lower, upper) bound of the drop over n pairs, each at `confidence`; (-1, 1) without pairs."""
    half = half_of(confidence)
    lower = clopper_pearson_lower(lost, n, half) - clopper_pearson_upper(gained, n, half)
    upper = clopper_pearson_upper(lost, n, half) - clopper_pearson_lower(gained, n, half)
    return lower, upper


def drop_p(lost: int, gained: int, n: int, limit: float) -> float:
    """Return the p-value of "the drop is `limit` or more".

    For "the drop is `limit` or less", exchange lost and gained and give -limit.
    """
    return p_of_bound(lambda confidence: drop_bounds(lost, gained, n, confidence)[1], limit)


def half_of(confidence: float) -> float:
    """Return the confidence that each of two bounds needs so that both hold together at `confidence` (union bound)."""
    return 1 - (1 - confidence) / 2


def p_of_bound(upper: Callable[[float], float], limit: float) -> float:
    """Return the smallest alpha with upper(1 - alpha) <= limit, or 1 if there is none.

    The result is rounded up by at most SMALLEST.
    """
    low, high = 0.0, 1.0
    while high - low > SMALLEST:
        middle = (low + high) / 2
        low, high = (low, middle) if upper(1 - middle) <= limit else (middle, high)
    return high


def fewest(proves: Callable[[int], bool]) -> int:
    """Return the smallest n >= 1 from which on `proves(n)` holds.

    Raises ValueError if it does not hold for MOST_PICTURES.
    """
    low, high = 0, 1
    while not proves(high):
        if high >= MOST_PICTURES:
            raise ValueError("no number of pictures proves this limit: raise it")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def refuse(k: int, n: int, share: float) -> None:
    """Raise ValueError unless 0 <= k <= n and 0 < share < 1."""
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} pictures is no count")
    if not 0 < share < 1:
        raise ValueError(f"confidence or limit is {share}: choose a share above 0 and below 1")
