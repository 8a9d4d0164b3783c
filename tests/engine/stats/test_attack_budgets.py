"""An attack that fails on the unedited model is made again with a larger budget, by that model's rows alone."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from expunge.engine.probes.attacks import ATTACKS, ConceptVector
from expunge.engine.probes.attacks.concept_vector import BUDGETS
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.attack_budgets import budgets_of, due, labelled
from expunge.engine.stats.evidence.table import Row, table
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import Verdict
from tests.engine.stats.rows import rows

NAME = ConceptVector.name
TERMS = Acceptance(0.1, 0.1, 0.8, 0.95, attacks=(NAME,))


def tries(before: int, after: int, budget: int = 1, n: int = 30) -> list[Row]:
    """One attack by one budget."""
    made = rows("panda", "target", before, after, n, NAME)
    return [replace(row, prompt=labelled(f"{NAME} 1 of 3", budget)) for row in made]


def evidence(*attacked: list[Row]) -> pd.DataFrame:
    plain = [*rows("panda", "target", 96, 0, 96), *rows("bear", "look_alike", 96, 96, 96)]
    return table([*plain, *(row for made in attacked for row in made)])


def verdict(*attacked: list[Row], terms: Acceptance = TERMS) -> Verdict:
    found = evidence(*attacked)
    return decide(found, len(found), terms)


def numbers(*attacked: list[Row], terms: Acceptance = TERMS) -> list[int]:
    return [made.budget for made in due(ConceptVector(), "panda", evidence(*attacked), terms)]


def test_a_larger_budget_is_due_until_the_control_is_met_or_there_is_none() -> None:
    assert numbers() == [1]
    assert numbers(tries(15, 0)) == [1]
    assert numbers(tries(14, 0)) == [1, 2]
    assert numbers(tries(14, 0), tries(30, 0, 2)) == [1, 2]
    assert numbers(tries(14, 0), tries(14, 0, 2)) == [1, 2, 3]
    assert numbers(tries(14, 0), tries(14, 0, 2), tries(0, 0, 3)) == [1, 2, 3] == [*range(1, BUDGETS + 1)]


@pytest.mark.parametrize("after", [0, 7, 30])
def test_attack_the_edited_model_has_no_say_in_its_budget(after: int) -> None:
    assert numbers(tries(14, after)) == [1, 2]
    assert numbers(tries(15, after)) == [1]


def test_an_attack_that_is_waived_is_not_raised() -> None:
    assert numbers(tries(0, 0), terms=replace(TERMS, probe_limits={NAME: 1.0})) == [1]


def test_every_budget_draws_as_many_pictures_and_searches_longer() -> None:
    for attack in (kind() for kind in ATTACKS.values()):
        while (more := attack.raised()) is not None:
            assert (more.cost, more.name) == (attack.cost, attack.name)
            assert more.digest != attack.digest
            assert more.effort > attack.effort
            attack = more


def test_a_control_that_the_larger_budget_meets_lets_a_good_edit_pass() -> None:
    assert verdict(tries(14, 0)).reasons[0].code == "attack-control"
    assert verdict(tries(14, 0), tries(28, 0, 2)).outcome == "PASS"


def test_attack_what_a_smaller_budget_brought_back_is_forgotten() -> None:
    found = verdict(tries(14, 14), tries(28, 0, 2))
    (attack,) = [target.attacks[NAME] for target in found.targets]
    assert (attack.seen, attack.n, attack.before) == (14, 44, pytest.approx(28 / 30, abs=1e-6))
    assert found.outcome == "FAIL"


def test_attack_only_the_larger_budget_is_on_record() -> None:
    found = verdict(tries(28, 0, 2))
    assert found.outcome == "ERROR"
    assert "was made with budget 2, and budget 1 gave no reason to" in found.reasons[0].message


def test_attack_a_budget_is_raised_that_was_large_enough() -> None:
    assert verdict(tries(20, 20), tries(28, 0, 2)).outcome == "ERROR"


def test_the_reason_of_a_control_that_is_never_met_names_a_cure() -> None:
    (reason,) = verdict(tries(0, 0), tries(0, 0, 2), tries(9, 0, 3)).reasons
    assert reason.code == "attack-control"
    assert "30.0%" in reason.message
    assert "give the target a name that the model draws more surely, or waive the attack openly" in reason.message


def test_a_budget_is_read_from_the_end_of_a_title_alone() -> None:
    titles = pd.DataFrame({"prompt": ["a 1 of 3", labelled("a 1 of 3", 2), ", budget 7 of a king", labelled("x", 12)]})
    assert list(budgets_of(titles)) == [1, 2, 1, 12]
