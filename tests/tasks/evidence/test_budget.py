"""The limit on compute is kept by measuring, from the first pictures on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.attacks import ATTACKS, Attack, Inversion, PromptSearch, Relearn
from expunge.tasks.core.errors import LimitExceeded
from expunge.tasks.evidence.budget import Budget, Cost, known_pace, minutes, remember_pace, spend, spent


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
        budget.drew(10, 10)
    assert (budget.pictures, budget.pace) == (60, 1.0)


def test_the_first_pictures_already_tell_that_the_rest_will_not_fit() -> None:
    clock = Clock()
    budget = Budget(minutes=1.0, clock=clock)
    budget.expect(600)
    clock.now += 10.0
    with pytest.raises(
        LimitExceeded, match=r"600 pictures would take 10 minutes.*limits\.max_compute_minutes allows 1:"
    ):
        budget.drew(10, 10)


def test_a_slow_start_is_no_estimate() -> None:
    clock = Clock()
    budget = Budget(minutes=1.0, clock=clock)
    budget.expect(60)
    clock.now += 2.5
    budget.drew(1, 1)  # at this pace 60 would take two and a half minutes
    clock.now += 29.5
    budget.drew(59, 59)
    assert budget.pictures == 60


def test_what_is_done_between_two_drawings_says_nothing_of_their_pace() -> None:
    clock = Clock()
    budget = Budget(minutes=1.0, clock=clock)
    clock.now += 1.0
    budget.pause()
    budget.expect(50)
    for _ in range(5):
        clock.now += 600.0  # planning
        with budget.at_work():
            clock.now += 10.0
            budget.drew(10, 10)
    assert (budget.seconds, budget.pace) == (51.0, 1.02)
    with budget.at_work():
        clock.now += 10.0
        with pytest.raises(LimitExceeded):
            budget.drew(1, 1)
    assert budget.seconds == 61.0


def test_a_machine_that_slows_down_meets_the_limit_as_a_deadline() -> None:
    clock = Clock()
    budget = Budget(minutes=1.0, clock=clock)
    budget.expect(60)
    clock.now += 10.0
    budget.drew(30, 30)
    clock.now += 51.0
    with pytest.raises(LimitExceeded):
        budget.drew(30, 30)


def test_what_the_store_has_already_costs_nothing() -> None:
    clock = Clock()
    budget = Budget(minutes=0.01, clock=clock)
    budget.expect(0)
    clock.now += 1000.0
    budget.drew(0, 0)
    assert budget.pace == 0.0


def test_an_attack_that_learns_counts_as_the_pictures_that_could_be_drawn_meanwhile() -> None:
    clock, attack = Clock(), Inversion(seeds=8)
    budget = Budget(minutes=1.0, clock=clock)
    budget.expect(30 + attack.effort)
    clock.now += 30.0
    with pytest.raises(LimitExceeded, match=r"worth 96 pictures would take 1\.6 minutes"):
        budget.drew(30, 30)  # 30 seconds, and the attack's 16 pictures alone would still fit


def test_pictures_of_an_attack_do_not_make_plain_ones_look_slow() -> None:
    clock, attack = Clock(), Inversion(seeds=8)
    budget = Budget(minutes=10.0, clock=clock)
    budget.expect(30 + attack.effort)
    clock.now += 30.0
    budget.drew(30, 30)
    clock.now += attack.effort
    budget.drew(attack.cost, attack.effort)
    assert (budget.pictures, budget.pace) == (46, 1.0)


@pytest.mark.parametrize("attack", [made() for made in ATTACKS.values()], ids=lambda attack: attack.name)
def test_no_attack_is_worth_less_than_the_pictures_it_draws_and_a_longer_search_is_worth_more(attack: Attack) -> None:
    assert attack.effort >= attack.cost
    if isinstance(attack, Inversion | Relearn | PromptSearch):
        longer = replace(attack, steps=2 * attack.steps)
        assert longer.effort - attack.cost == pytest.approx(2 * (attack.effort - attack.cost))


def test_what_all_runs_took_is_added_up_and_a_run_that_drew_nothing_took_nothing(tmp_path: Path) -> None:
    clock = Clock()
    assert spent(tmp_path) == Cost(0, 0.0)
    for pictures in (4, 0, 6):
        budget = Budget(minutes=10.0, clock=clock)
        clock.now += 2.0
        budget.drew(pictures, pictures)
        spend(tmp_path, budget)
    assert spent(tmp_path) == Cost(10, 4.0)


def test_the_pace_is_known_only_once_it_was_measured(tmp_path: Path) -> None:
    assert known_pace(tmp_path, "a" * 64, Sampler()) is None
    remember_pace(tmp_path, "a" * 64, Sampler(), 0.25)
    pace = known_pace(tmp_path, "a" * 64, Sampler())
    assert pace is not None
    assert minutes(pace, 240) == 1.0
    assert known_pace(tmp_path, "a" * 64, Sampler(steps=50)) is None
