"""What estimates say where there is much to name, and where a judge is no better than chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.engine.stats.decide import decide
from expunge.engine.stats.estimates import METHODS, drop_bounds, rounded_down, rounded_up
from expunge.engine.stats.evidence.table import table
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import JudgeError
from tests.engine.stats.rows import rows

LIMITS = Acceptance(max_target_rate=0.1, max_retain_drop=0.1, min_control_rate=0.75, confidence=0.95)


def test_the_five_most_frequent_labels_are_named_and_no_more() -> None:
    labels = [f"label {number}" for number in range(7)]
    target = [replace(row, shows=labels[row.seed % 7]) for row in rows("car", "target", 60, 0, 60)]
    kept = [replace(row, shows="bus") for row in rows("bus", "look_alike", 60, 60, 60)]
    verdict = decide(table([*target, *kept]), len(target) + len(kept), LIMITS)
    assert verdict.targets[0].replaced_by == tuple((label, 9 if label < "label 4" else 8) for label in labels[:5])


@pytest.mark.parametrize("sampling", ["fixed", "sequential"])
@pytest.mark.parametrize("error", [JudgeError(500, 1000, 500, 1000), JudgeError(100, 1000, 900, 1000)])
def test_a_judge_no_better_than_chance_says_nothing_of_a_drop(error: JudgeError, sampling: str) -> None:
    method = METHODS[replace(LIMITS, sampling=sampling).sampling]
    assert drop_bounds(method, 5, 5, 100, 0.95, error) == (-1.0, 1.0)
    assert drop_bounds(method, 5, 5, 100, 0.95, JudgeError(1000, 1000, 0, 1000))[1] < 1


def test_bounds_are_rounded_away_from_what_was_counted() -> None:
    assert (rounded_down(0.1234567), rounded_up(0.1234561)) == (0.123456, 0.123457)
    assert (rounded_down(-0.1234561), rounded_up(-0.1234567)) == (-0.123457, -0.123456)
    assert (rounded_down(0.5), rounded_up(0.5)) == (0.5, 0.5)
