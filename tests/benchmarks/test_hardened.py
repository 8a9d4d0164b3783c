"""What is measured of erasure from the weights: jobs, what counts of them, and that the figures on record fit them."""

from __future__ import annotations

import pytest

from benchmarks.hardening.jobs import BUDGETS, MADE, NAMES, PLAIN, STRONGEST, Job, in_order
from expunge.engine.probes.attacks import ATTACKS, Inversion
from expunge.engine.probes.attacks.compared import COMPARED


def test_every_attack_is_measured_and_only_searches_for_words_have_budgets() -> None:
    assert set(MADE) == set(ATTACKS) | set(COMPARED)
    made = in_order(NAMES, BUDGETS)
    assert [job.budget for job in made if job.attack in ("inversion", STRONGEST)] == [1, 1, 4, 4, 16, 16]
    assert all(job.budget == 1 for job in made if not job.budgeted)
    assert {job.attack for job in made} == set(NAMES)
    assert made[0] == Job(PLAIN), "cheap ones first"


@pytest.mark.parametrize("budget", BUDGETS)
def test_longer_searches_are_the_named_budgets(budget: int) -> None:
    assert Job("inversion", budget).made() == Inversion.of_budget(f"{budget}x")
    strong = Job(STRONGEST, budget)
    made = strong.made()
    assert isinstance(made, Inversion)
    assert len(made.vectors) * strong.pictures == made.cost
    assert strong.pictures == Job("inversion", budget).pictures == 30


def test_of_several_searches_of_one_attack_the_strongest_counts() -> None:
    assert {name: Job(name).groups for name in NAMES if Job(name).groups > 1} == {STRONGEST: 4, "knows_hardened": 4}
    assert Job("knows_hardened").pictures == 15


def test_an_attack_that_draws_nothing_at_random_is_made_once() -> None:
    assert {name: Job(name).seeds for name in NAMES} == {name: 1 if name == "tina" else 3 for name in NAMES}
