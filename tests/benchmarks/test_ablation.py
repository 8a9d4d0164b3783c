"""The parts are what they are called, and their table says what was measured and what was refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ablation import ANCHOR, CASES, PARTS, WITH_ANCHOR, page, run
from benchmarks.common import concepts, measure
from benchmarks.common.results import Results
from benchmarks.compare import COLUMNS, KEY
from expunge.engine.planning.make import settings_of


@pytest.mark.parametrize("part", list(PARTS))
def test_a_part_differs_from_the_default_in_the_settings_that_it_names(part: str) -> None:
    case = concepts.tuning_cases()[0]
    default, chosen = (settings_of(measure.spec(case, "scapre", given)) for given in ({}, PARTS[part]))
    assert {name for name in default if default[name] != chosen[name]} == set(PARTS[part])


def test_the_anchor_is_an_object_for_tuning_that_is_never_asked_for() -> None:
    assert ANCHOR in concepts.TUNING
    for case in concepts.tuning_cases(CASES):
        assert ANCHOR not in {item.question.subject.name for item in measure.asked(case, 8)}


class Asked:
    """A bench that only notes what it was asked to run."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, concepts.Case]] = []

    def run(self, arms, cases, pictures, found) -> None:
        self.runs += [(arm.name, case) for case in cases for arm in arms]


def test_nothing_becomes_an_anchor_that_is_itself_erased(tmp_path: Path) -> None:
    bench = Asked()
    run(bench, None, 8, Results(tmp_path / "ablation.tsv", COLUMNS, KEY))  # type: ignore[arg-type]
    anchored = [case for name, case in bench.runs if name == WITH_ANCHOR]
    assert [case.name for case in anchored] == ["tuning 10"]
    assert all(case.anchor == ANCHOR and ANCHOR not in case.objects for case in anchored)


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
