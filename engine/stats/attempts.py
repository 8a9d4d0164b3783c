"""What a further attempt costs: how the error of a PASS is shared among all attempts on one target.

Attempt k may spend `share(k)` of alpha: three quarters the first, and 1 / (4 k (k - 1)) any later one. The sum over
k = 2, 3, ... of 1 / (k (k - 1)) is 1, for each term is 1 / (k - 1) - 1 / k. So all shares together are 1, and by the
union bound the chance that any attempt is a false PASS is at most alpha, however many are made.

Each attempt draws with seeds of its own (`seed_of`). So whatever was chosen because of an earlier attempt, the pictures
of this one are new, and the bound holds for who tries again until it passes.
"""

import math

from expunge.engine.files.digests import json_digest

FIRST = 0.75
SEEDS = 2**62


def share(attempt: int) -> float:
    """Return the share of alpha that an attempt may spend; all of it where none is counted (0).

    Raises ValueError below 0.
    """
    if attempt < 0:
        raise ValueError(f"attempt is {attempt}: count from 1, or give 0 where none is counted")
    if attempt == 0:
        return 1.0
    return FIRST if attempt == 1 else (1 - FIRST) / (attempt * (attempt - 1))


def confidence_at(confidence: float, attempt: int) -> float:
    """Return the confidence at which an attempt has to prove its limits, so that all attempts together keep
    `confidence`."""
    return round(1 - share(attempt) * (1 - confidence), 12)


def growth(confidence: float, attempt: int) -> float:
    """Return how many times the pictures of a first attempt prove at this attempt what they proved at the first.

    Where none is seen, a limit is proven by pictures in proportion to the logarithm of alpha.
    """
    if attempt < 2:
        return 1.0
    here, first = (math.log(share(number) * (1 - confidence)) for number in (attempt, 1))
    return here / first


def confidence_over_all(confidence: float, attempt: int) -> float:
    """Return what `confidence_at` was given for this attempt."""
    return round(1 - (1 - confidence) / share(attempt), 9)


def seed_of(seed: int, state: str, attempt: int) -> int:
    """Return the first seed of an attempt: `seed` of the first, and of a later one a digest of what is desired
    (`state`) and its number."""
    if attempt < 2:
        return seed
    return int(json_digest({"state": state, "attempt": attempt}), 16) % SEEDS
