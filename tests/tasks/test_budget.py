"""The limit on compute is kept by measuring, from the first pictures on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.budget import Budget, known_pace, minutes, remember_pace
from tasks.errors import LimitExceeded


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_fits_is_drawn_to_the_end() -> None:
    clock = Clock()
    budget = Budget(minutes=1.0, clock=clock)
    budget.expect(60)
    for _ in range(6):
        clock.now += 10.0
        budget.drew(10)
    assert (budget.drawn, budget.pace) == (60, 1.0)


def test_the_first_pictures_already_tell_that_the_rest_will_not_fit() -> None:
    clock = Clock()
    budget = Budget(minutes=1.0, clock=clock)
    budget.expect(600)
    clock.now += 10.0
    with pytest.raises(
        LimitExceeded, match=r"600 pictures would take 10 minutes.*limits\.max_compute_minutes allows 1:"
    ):
        budget.drew(10)


def test_a_machine_that_slows_down_meets_the_limit_as_a_deadline() -> None:
    clock = Clock()
    budget = Budget(minutes=1.0, clock=clock)
    budget.expect(60)
    clock.now += 10.0
    budget.drew(30)
    clock.now += 51.0
    with pytest.raises(LimitExceeded):
        budget.drew(30)


def test_what_the_store_has_already_costs_nothing() -> None:
    clock = Clock()
    budget = Budget(minutes=0.01, clock=clock)
    budget.expect(0)
    clock.now += 1000.0
    budget.drew(0)
    assert budget.pace == 0.0


def test_the_pace_is_known_only_once_it_was_measured(tmp_path: Path) -> None:
    assert known_pace(tmp_path, "a" * 64) is None
    remember_pace(tmp_path, "a" * 64, 0.25)
    pace = known_pace(tmp_path, "a" * 64)
    assert pace is not None
    assert minutes(pace, 240) == 1.0
