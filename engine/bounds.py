"""Exact one-sided bounds of a share and of a paired drop.

A share is bounded by Clopper and Pearson (Biometrika 26, 1934): with k of n seen,
upper = Beta quantile(confidence; k + 1, n - k), lower = Beta quantile(1 - confidence; k, n - k + 1).

A drop is paired: the same prompt and seed before and after. With `lost` = seen before only and `gained` = seen after
only, drop = (lost - gained) / n. Each of the two shares is bounded exactly at alpha / 2, alpha = 1 - confidence, so
upper = CP upper(lost) - CP lower(gained) covers the true drop with at least the confidence (union bound), and likewise
lower = CP lower(lost) - CP upper(gained).
"""

import math

from scipy import stats


def clopper_pearson_upper(k: int, n: int, confidence: float) -> float:
    """The share that k of n do not exceed, at `confidence`; 1.0 of none. Raises ValueError outside 0 <= k <= n."""
    _refuse(k, n, confidence)
    return 1.0 if k == n else float(stats.beta.ppf(confidence, k + 1, n - k))


def clopper_pearson_lower(k: int, n: int, confidence: float) -> float:
    """The share that k of n do not fall below, at `confidence`; 0.0 of none. Raises ValueError outside 0 <= k <= n."""
    _refuse(k, n, confidence)
    return 0.0 if k == 0 else float(stats.beta.ppf(1 - confidence, k, n - k + 1))


def paired_drop_bounds(lost: int, gained: int, n: int, confidence: float) -> tuple[float, float]:
    """(lower, upper) bound of the drop over n pairs, each holding at `confidence`; (-1, 1) of no pairs."""
    half = 1 - (1 - confidence) / 2
    lower = clopper_pearson_lower(lost, n, half) - clopper_pearson_upper(gained, n, half)
    upper = clopper_pearson_upper(lost, n, half) - clopper_pearson_lower(gained, n, half)
    return lower, upper


def pictures_needed(limit: float, confidence: float) -> int:
    """The fewest pictures that prove a share <= limit when none is seen: (1 - limit)^n <= 1 - confidence."""
    n = max(1, math.floor(math.log(1 - confidence) / math.log(1 - limit)))
    while clopper_pearson_upper(0, n, confidence) > limit:
        n += 1
    return n


def pairs_needed(limit: float, confidence: float) -> int:
    """The fewest pairs that prove a drop <= limit when none is lost and none gained."""
    return pictures_needed(limit, 1 - (1 - confidence) / 2)


def _refuse(k: int, n: int, confidence: float) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} pictures is no count")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}: choose a share above 0 and below 1")
