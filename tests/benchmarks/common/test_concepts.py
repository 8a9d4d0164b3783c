"""What is tuned on is apart from what is reported, and every draw is seeded and of concepts that can be counted."""

from __future__ import annotations

import pytest

from benchmarks.common.concepts import (
    ALREADY_TUNED_ON,
    REPORTED,
    SIZES,
    TUNING,
    case_without,
    cases,
    look_alike_targets,
    objects,
    split,
    tuning_cases,
)
from expunge.engine.emoji.catalogue import OBJECTS, twins
from expunge.engine.emoji.training.quality import offered


def test_tuning_and_reported_objects_are_all_objects_and_share_none():
    assert not set(TUNING) & set(REPORTED)
    assert {*TUNING, *REPORTED} == {item.name for item in OBJECTS}
    assert set(ALREADY_TUNED_ON) <= set(TUNING)
    assert len(REPORTED) == max(SIZES)
    assert split() == (TUNING, REPORTED)


def test_no_reported_target_was_tuned_on():
    reported = {name for case in cases(3) for name in case.objects}
    tuned = {name for case in tuning_cases() for name in case.objects}
    assert tuned <= set(TUNING)
    assert reported <= set(REPORTED)
    assert len(reported) > 50


def test_draws_are_seeded_and_differ():
    assert objects(5, 0) == objects(5, 0) != objects(5, 1)
    assert list(cases(2)) == list(cases(2))
    keys = [(case.name, case.draw) for case in cases(3)]
    assert len(set(keys)) == len(keys)
    assert {f"{count} objects" for count in SIZES[1:]} <= {case.name for case in cases(1)}


def test_small_draws_are_of_objects_that_are_drawn_well():
    good = offered()
    assert all(set(objects(count, draw)) <= good for count in (1, 5, 10) for draw in range(3))
    assert set(objects(len(REPORTED), 0)) == set(REPORTED)


def test_look_alike_targets_have_a_twin_that_stays():
    for draw in range(3):
        chosen = look_alike_targets(draw)
        assert len(chosen) > 3
        assert all(set(twins(name)) & offered() - set(chosen) for name in chosen)
        groups = {item.name: item.group for item in OBJECTS}
        assert len({groups[name] for name in chosen}) == len(chosen)


def test_an_erased_style_becomes_one_that_stays():
    for case in cases(3):
        assert case.style_anchor not in case.styles


@pytest.mark.parametrize("name", ["10 objects", "2 styles", "5 objects, 1 styles"])
def test_a_model_trained_without_what_a_draw_erases_is_measured_in_that_case(name: str):
    drawn = next(case for case in cases(1) if case.name == name)
    assert case_without([*drawn.styles, *drawn.objects[::-1]]) == drawn


def test_a_model_trained_without_anything_else_is_measured_in_a_case_of_its_own():
    assert case_without(["taxi", "flat"]).styles == ("flat",)
    assert case_without(["pear", "taxi"]).objects == ("pear", "taxi")
    assert case_without(["pear", "taxi"]).name == "without pear, taxi"
