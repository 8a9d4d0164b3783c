"""The grade of a PASS says how much it means, and the error of all attempts together stays at alpha."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count, islice

import pytest

from expunge.engine.probes.attacks import ATTACKS
from expunge.engine.probes.levels import level_named
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import table
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.limits.attempts import confidence_at, confidence_over_all, growth, seed_of, share
from expunge.engine.stats.limits.grade import LEARNING, assurance
from expunge.engine.stats.verdict import Verdict
from tests.engine.stats.rows import rows

HARD = tuple(attack.name for attack in level_named("adversarial").attacks)
TERMS = Acceptance(0.1, 0.1, 0.8, 0.95, level="adversarial", attacks=HARD)


def reached(terms: Acceptance, seen: int = 0) -> Verdict:
    """The verdict on a target that is gone but for `seen` pictures, attacked as the terms ask."""
    kept = rows("bear", "look_alike", 96, 96, 96)
    attacks = [row for name in terms.attacks for row in rows("panda", "target", 30, 0, 30, name)]
    found = table([*rows("panda", "target", 96, seen, 96), *attacks, *kept])
    return decide(found, len(found), terms)


def test_the_attacks_that_learn_are_those_that_say_so() -> None:
    assert set(LEARNING) == {name for name, attack in ATTACKS.items() if attack.learns}


def test_a_pass_names_level_limits_confidence_and_what_was_waived() -> None:
    grade = reached(TERMS).grade
    assert grade == (
        "by weights; level adversarial; limits targets 0.1, attacks 0.2, kept losses 0.1; confidence 95 %; waived: none"
    )


@pytest.mark.parametrize("waived", LEARNING)
def test_attack_a_pass_by_weights_with_an_attack_that_learns_waived(waived: str) -> None:
    verdict = reached(replace(TERMS, probe_limits={waived: 1.0}))
    assert verdict.outcome == "PASS"
    assert verdict.grade.startswith("by words; level adversarial")
    assert verdict.grade.endswith(f"waived: {waived}")


def test_attack_a_level_by_name_alone_gives_no_assurance_by_weights() -> None:
    verdict = reached(replace(TERMS, attacks=("relearn",)))
    assert verdict.outcome == "PASS"
    assert verdict.grade.startswith("by words")


def test_attack_weights_are_claimed_of_a_target_that_was_never_attacked() -> None:
    (target,) = reached(TERMS).targets
    bare = replace(reached(TERMS), targets=(target, replace(target, concept="owl", attacks={})))
    assert bare.grade.startswith("by words")


def test_the_loosest_limit_is_the_one_that_is_named() -> None:
    grade = reached(replace(TERMS, probe_limits={"relearn": 0.4, "name": 0.3})).grade
    assert "targets 0.1, single prompt families 0.3, attacks 0.4, kept losses 0.1" in grade


def test_attack_weights_are_claimed_where_there_is_no_target() -> None:
    assert assurance(TERMS, []) == "by words"


def test_what_is_no_pass_has_the_grade_that_was_asked_for() -> None:
    verdict = reached(TERMS, seen=90)
    assert verdict.outcome == "FAIL"
    assert verdict.grade.startswith("asked for by weights")


def test_attack_a_verdict_is_given_a_better_grade() -> None:
    text = reached(replace(TERMS, probe_limits={"inversion": 1.0})).to_json()
    raw = json.loads(text)
    assert Verdict.from_json(text).grade == raw["grade"]
    with pytest.raises(ValueError, match="the verdict was altered"):
        Verdict.from_json(json.dumps({**raw, "grade": raw["grade"].replace("by words", "by weights")}))


def test_all_attempts_together_spend_no_more_than_alpha() -> None:
    spent = [share(attempt) for attempt in islice(count(1), 10_000)]
    assert spent == sorted(spent, reverse=True)
    assert 0.9999 < sum(spent) <= 1
    for first in (1, 2, 5):
        assert sum(spent[:first]) < 1, "something is left for whoever tries again"


def test_an_attempt_that_is_not_counted_keeps_the_confidence_as_it_is() -> None:
    assert confidence_at(0.95, 0) == 0.95
    assert [confidence_at(0.95, attempt) for attempt in (1, 2, 3)] == [0.9625, 0.99375, pytest.approx(0.99791666)]
    for attempt in (1, 2, 7, 100):
        assert confidence_over_all(confidence_at(0.95, attempt), attempt) == pytest.approx(0.95)
    with pytest.raises(ValueError, match="attempt is -1"):
        replace(TERMS, attempt=-1)


def test_the_grade_says_which_attempt_it_was() -> None:
    terms = replace(TERMS, confidence=confidence_at(0.95, 2), attempt=2)
    assert "confidence 95 % over all attempts, this is attempt 2 at 99.375 %" in reached(terms).grade


def test_a_later_attempt_draws_by_seeds_of_its_own() -> None:
    assert seed_of(7, "a", 1) == seed_of(7, "a", 0) == 7
    assert len({seed_of(7, state, attempt) for state in "ab" for attempt in (2, 3, 4)}) == 6
    assert seed_of(7, "a", 2) == seed_of(7, "a", 2)


def test_what_a_pass_assures_of_is_said_without_terms_of_the_field() -> None:
    words, weights = (reached(terms).assurance for terms in (replace(TERMS, attacks=("relearn",)), TERMS))
    assert words != weights
    guessed, named = (reached(replace(TERMS, attacks=own)).assurance for own in (("concept_vector",), ()))
    assert "guessed from text alone" in guessed
    assert named == words, "nobody guessed words"
    assert "Other words for it were not searched for" in named
    assert "may still teach" in words
    assert "did not bring it back" in weights


def test_a_later_attempt_draws_what_its_confidence_needs() -> None:
    """No picture of thirty may show the target for a limit of 0.2 at the first attempt; later ones take more."""
    for attempt in (1, 2, 3, 10):
        alpha = 1 - confidence_at(0.95, attempt)
        level = level_named("adversarial").grown(growth(0.95, attempt))
        for attack, first in zip(level.attacks, level_named("adversarial").attacks, strict=True):
            assert (1 - 0.2) ** attack.cost / alpha <= (1 - 0.2) ** first.cost / (1 - confidence_at(0.95, 1)) + 1e-12
    assert level_named("standard").grown(growth(0.95, 1)) == level_named("standard")
