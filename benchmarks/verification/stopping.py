"""The pictures that a decision costs, in rounds and fixed beforehand: `python -m benchmarks.verification.stopping`.

Both designs keep the same error: a rate at its limit is called below it with a chance of at most alpha, and above it
likewise. Both have the same power: a rate of HALF the limit is proven to be below with a chance of POWER or more, the
fixed design with the fewest pictures that do so, the one in rounds with the fewest rounds at most. How far the true
rate lies from its limit is not known beforehand, so the fixed design pays for the hard case always. The table has exact
numbers for rates (the distribution of counts, round by round) and RUNS simulated runs for drops, in which GAIN of the
pairs are gained and the rest of the change is lost. "known" is the fixed design of someone who knew the true rate.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import binom

from expunge.engine.stats.bounds import clopper_pearson as bounds
from expunge.engine.stats.bounds.confidence_sequence import drop_p, rate_p

CONFIDENCE, POWER, RUNS, GAIN = 0.95, 0.9, 2000, 0.01
RATE_LIMIT, RATES = 0.10, (0.0, 0.01, 0.02, 0.05, 0.10, 0.20, 0.30, 0.50, 0.90)
DROP_LIMIT, DROPS = 0.10, (0.0, 0.01, 0.05, 0.10, 0.20, 0.30, 0.50)
ROUND = 10


@dataclass(frozen=True)
class Course:
    """The outcome of a design at one true rate: mean pictures, and the shares of runs that end below and above."""

    pictures: float
    below: float
    above: float


def fixed_rate(n: int, limit: float, rate: float) -> Course:
    """Judge a fixed number of pictures, exactly."""
    counts = np.arange(n + 1)
    below = np.array([bounds.clopper_pearson_upper(int(k), n, CONFIDENCE) <= limit for k in counts])
    above = np.array([bounds.clopper_pearson_lower(int(k), n, CONFIDENCE) > limit for k in counts])
    chance = binom.pmf(counts, n, rate)
    return Course(n, float(chance[below].sum()), float(chance[above].sum()))


def rounds_of_rate(most: int, limit: float, rate: float) -> Course:
    """Judge rounds of ROUND pictures until decided or `most` are judged, exactly."""
    open_, below, above, pictures = np.ones(1), 0.0, 0.0, 0.0
    for n in range(ROUND, most + 1, ROUND):
        open_ = np.convolve(open_, binom.pmf(np.arange(ROUND + 1), ROUND, rate))
        low, high = edges(n, limit)
        ended_below, ended_above = open_[: low + 1].sum(), open_[high:].sum()
        below, above, pictures = below + ended_below, above + ended_above, pictures + n * (ended_below + ended_above)
        open_[: low + 1] = open_[high:] = 0
    return Course(float(pictures + most * open_.sum()), float(below), float(above))


@cache
def edges(n: int, limit: float) -> tuple[int, int]:
    """(most seen that are proven below, -1 if none; fewest seen that are proven above) of n pictures."""
    below = sum(rate_p(seen, n, limit) <= 1 - CONFIDENCE for seen in range(n + 1))
    above = sum(rate_p(n - seen, n, 1 - limit) <= 1 - CONFIDENCE for seen in range(n + 1))
    return below - 1, n + 1 - above


def fixed_drop(n: int, limit: float, drop: float) -> Course:
    """Judge a fixed number of pairs, RUNS times."""
    counts, times = np.unique(_changes(n, drop, 1).reshape(-1, 2), axis=0, return_counts=True)
    found = [bounds.drop_bounds(int(lost), int(gained), n, CONFIDENCE) for lost, gained in counts]
    below = sum(t for (_, upper), t in zip(found, times, strict=True) if upper <= limit)
    above = sum(t for (lower, _), t in zip(found, times, strict=True) if lower > limit)
    return Course(n, below / RUNS, above / RUNS)


def rounds_of_drop(most: int, limit: float, drop: float) -> Course:
    """Judge rounds of ROUND pairs until decided or `most` are judged, RUNS times."""
    ends = [_run(lost_gained, limit) for lost_gained in _changes(ROUND, drop, most // ROUND).cumsum(axis=1)]
    pictures, calls = zip(*ends, strict=True)
    return Course(float(np.mean(pictures)), calls.count("below") / RUNS, calls.count("above") / RUNS)


def _run(counts: np.ndarray, limit: float) -> tuple[int, str | None]:
    for step, (lost, gained) in enumerate(counts, start=1):
        if call := _drop_call(int(lost), int(gained), step * ROUND, limit):
            return step * ROUND, call
    return len(counts) * ROUND, None


@cache
def _drop_call(lost: int, gained: int, n: int, limit: float) -> str | None:
    if drop_p(lost, gained, n, limit) <= 1 - CONFIDENCE:
        return "below"
    return "above" if drop_p(gained, lost, n, -limit) <= 1 - CONFIDENCE else None


def _changes(pairs: int, drop: float, rounds: int) -> np.ndarray:
    """(lost, gained) of each round of each run, int [RUNS, rounds, 2]."""
    shares = [drop + GAIN, GAIN, 1 - drop - 2 * GAIN]
    return np.random.default_rng(17).multinomial(pairs, shares, size=(RUNS, rounds))[..., :2]


def fewest(course: Callable[[int], Course], side: str = "below") -> int | None:
    """Return the fewest multiples of ROUND up to 2,000 with which the right side is proven with POWER."""
    steps = range(ROUND, 2001, ROUND)
    return next((n for n in steps if getattr(course(n), side) >= POWER), None)


def table(
    title: str,
    limit: float,
    values: tuple[float, ...],
    fixed: Callable[[int, float, float], Course],
    rounds: Callable[[int, float, float], Course],
) -> None:
    n, most = (fewest(lambda n, design=design: design(n, limit, limit / 2)) for design in (fixed, rounds))
    if n is None or most is None:
        raise ValueError(f"no design of up to 2,000 pictures has a power of {POWER} at half of {limit}")
    print(f"\n{title}, limit {limit:.0%}, alpha {1 - CONFIDENCE:.2f}: fixed {n}, in rounds of {ROUND} {most} at most\n")
    print("| true | rounds: pictures | proven below | proven above | fixed: pictures | below | above | fewer | known |")
    print("|---|---|---|---|---|---|---|---|---|")
    for value in values:
        ours, theirs = rounds(most, limit, value), fixed(n, limit, value)
        known = fewest(lambda n, v=value: fixed(n, limit, v), "below" if value < limit else "above")
        print(
            f"| {value:.0%} | {ours.pictures:.1f} | {ours.below:.1%} | {ours.above:.1%} | {n} | {theirs.below:.1%} | "
            f"{theirs.above:.1%} | {n / ours.pictures:.1f} x | {'-' if value == limit else known} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    table("Rate", RATE_LIMIT, RATES, fixed_rate, rounds_of_rate)
    table("Drop", DROP_LIMIT, DROPS, fixed_drop, rounds_of_drop)


if __name__ == "__main__":
    main()
