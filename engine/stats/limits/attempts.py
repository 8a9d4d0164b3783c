"""The price of a further attempt: how all attempts on one target share the allowed error of a PASS.

Attempt k may spend `share(k)` of alpha. The first attempt gets three quarters, and attempt k > 1 gets 1 / (4 k (k -
1)). The sum of 1 / (k (k - 1)) over k = 2, 3, ... is 1, because each term is 1 / (k - 1) - 1 / k. So all shares add up
to 1. By the union bound, the chance that any attempt is a false PASS is at most alpha, however many attempts there are.

Each attempt draws with seeds of its own (`seed_of`). Whatever somebody chose after an earlier attempt, the pictures of
this one are new. So the bound also holds for somebody who tries again until a PASS comes.
"""

import math

from expunge.engine.files.digests import json_digest

FIRST = 0.75
SEEDS = 2**62


def share(attempt: int) -> float:
    """Return the share of alpha that an attempt may spend.

    Attempt 0 means that attempts are not counted, and then the share is 1. Raises ValueError for a negative number.
    """
    if attempt < 0:
        raise ValueError(f"attempt is {attempt}: count from 1, or give 0 where none is counted")
    if attempt == 0:
        return 1.0
    return FIRST if attempt == 1 else (1 - FIRST) / (attempt * (attempt - 1))


def confidence_at(confidence: float, attempt: int) -> float:
    """Return the confidence at which an attempt has to prove its limits.

    At this value all attempts together keep `confidence`.
    """
    return round(1 - share(attempt) * (1 - confidence), 12)


def growth(confidence: float, attempt: int) -> float:
    """Return the factor by which this attempt needs more pictures than the first one for the same proof.

    When no picture shows the concept, the number of pictures needed grows in proportion to the logarithm of alpha.
    """
    if attempt < 2:
        return 1.0
    here, first = (math.log(share(number) * (1 - confidence)) for number in (attempt, 1))
    return here / first


def confidence_over_all(confidence: float, attempt: int) -> float:
    """Return the confidence over all attempts from that of one attempt: the inverse of `confidence_at`."""
    return round(1 - (1 - confidence) / share(attempt), 9)


def seed_of(seed: int, state: str, attempt: int) -> int:
    """Return the first seed of an attempt.

    The first attempt uses `seed`. A later one uses a digest of its number and of the desired state (`state`).
    """
    if attempt < 2:
        return seed
    return int(json_digest({"state": state, "attempt": attempt}), 16) % SEEDS
