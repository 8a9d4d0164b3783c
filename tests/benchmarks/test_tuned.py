"""What the tables report is of what the lines on record chose."""

from __future__ import annotations

import pytest

from benchmarks import compare, concepts
from benchmarks.ladders import LADDERS, TRAINED, rungs
from benchmarks.results import FOLDER
from expunge.engine.editors import checked_settings
from expunge.engine.editors.training import TRAINERS
from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest

BUILT_IN = folder_digest(MODEL)[:12]


@pytest.mark.parametrize("editor", LADDERS)
def test_what_is_reported_as_tuned_has_the_settings_that_the_trials_on_record_are_best_with(editor: str) -> None:
    chosen = compare.tuned(editor, compare.results(FOLDER / "tuning.tsv"), BUILT_IN, compare.PICTURES)
    lines = compare.results(FOLDER / "compare.tsv").where(model=BUILT_IN, arm=chosen.name, pictures=compare.PICTURES)
    reported = {(line["case"], int(line["draw"])): line["settings"] for line in lines}
    cases = {(case.name, case.draw): case for case in concepts.cases(3)}
    assert reported == {place: chosen.recorded(cases[place]) for place in reported}
    assert {name for name, _ in reported} == {name for name, _ in cases}


def test_an_editor_that_was_not_tried_at_every_setting_has_no_best_one() -> None:
    trials = compare.results(FOLDER / "tuning.tsv")
    del trials.rows[next(key for key in trials.rows if key[1].startswith("rece "))]
    with pytest.raises(LookupError, match="was not tried with 16 pictures; choose by --tune first"):
        compare.tuned("rece", trials, BUILT_IN, 16)


@pytest.mark.parametrize("editor", TRAINED)
def test_every_ladder_of_an_editor_that_trains_is_of_settings_that_it_has(editor: str) -> None:
    made = [checked_settings(editor, TRAINERS[editor].settings, rung) for rung in rungs(editor)]
    assert len(set(made)) == len(made) > 1
    assert {*TRAINED, "hardened"} == set(TRAINERS), "hardened is measured by a benchmark of its own"
