"""The parts are what they are called, and their table says what was measured and what was refused."""

from __future__ import annotations

import pytest

from benchmarks import concepts, measure
from benchmarks.ablation import ANCHOR, PARTS, page
from benchmarks.compare import COLUMNS
from engine.editing import settings_of


@pytest.mark.parametrize("part", list(PARTS))
def test_a_part_differs_from_the_default_in_the_settings_that_it_names(part: str) -> None:
    case = concepts.tuning_cases()[0]
    default, chosen = (settings_of(measure.spec(case, "scapre", given)) for given in ({}, PARTS[part]))
    assert {name for name in default if default[name] != chosen[name]} == set(PARTS[part])


def test_the_anchor_is_an_object_for_tuning_that_is_never_asked_for() -> None:
    assert ANCHOR in concepts.TUNING
    for case in concepts.tuning_cases():
        assert ANCHOR not in {item.question.subject.name for item in measure.asked(case, 8)}


def test_every_case_has_a_table_with_a_line_a_part_and_what_was_refused() -> None:
    empty = dict.fromkeys((*COLUMNS, "drift"), "")
    good = {**empty, "case": "tuning 5", "arm": "default", "pictures": "8", "target": "0.25", "drift": "0.0123456"}
    bad = {**empty, "case": "tuning 10", "arm": "hopeless", "pictures": "8", "problem": "raise ridge"}
    text = page([good, bad])
    assert "| default | 25.0 | - |" in text
    assert "| 0.0123 |" in text
    assert "tuning 10, 8 pictures" in text
    assert "- hopeless: raise ridge" in text
    with pytest.raises(ValueError, match="nothing was measured"):
        page([])
