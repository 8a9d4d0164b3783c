"""What the tables report is of what the lines on record chose."""

from __future__ import annotations

import pytest

from benchmarks import compare
from benchmarks.common import arms, concepts
from benchmarks.common.ladders import LADDERS, TOLD, TRAINED, input_rungs, rungs
from benchmarks.common.results import FOLDER
from expunge.engine.editors import EDITORS, checked_settings, editor_named, settings_for
from expunge.engine.editors.training import TRAINERS
from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest

BUILT_IN = folder_digest(MODEL)[:12]


@pytest.mark.parametrize("editor", list(LADDERS))
def test_what_is_reported_as_tuned_has_the_settings_that_the_trials_on_record_are_best_with(editor: str) -> None:
    chosen = arms.tuned(editor, compare.results(FOLDER / "tuning.tsv"), BUILT_IN, compare.PICTURES)
    lines = compare.results(FOLDER / "compare.tsv").where(model=BUILT_IN, arm=chosen.name, pictures=compare.PICTURES)
    reported = {(line["case"], int(line["draw"])): line["settings"] for line in lines}
    cases = {(case.name, case.draw): case for case in concepts.cases(3)}
    assert reported == {place: chosen.recorded(cases[place]) for place in reported}
    assert reported
    assert {name for name, _ in reported} == {name for name, _ in cases}


def test_an_editor_that_was_not_tried_at_every_setting_has_no_best_one() -> None:
    trials = compare.results(FOLDER / "tuning.tsv")
    del trials.rows[next(key for key in trials.rows if key[1].startswith("rece "))]
    with pytest.raises(LookupError, match="was not tried with 16 pictures; choose by --tune first"):
        arms.tuned("rece", trials, BUILT_IN, 16)


@pytest.mark.parametrize("editor", TRAINED)
def test_every_ladder_of_an_editor_that_trains_is_of_settings_that_it_has(editor: str) -> None:
    made = [checked_settings(editor, TRAINERS[editor].settings, rung) for rung in rungs(editor)]
    assert len(set(made)) == len(made) > 1
    assert {*TRAINED, "hardened", "stereo", "advunlearn"} == set(TRAINERS), (
        "these three are measured by a benchmark of their own"
    )


@pytest.mark.parametrize("editor", TOLD)
def test_a_rival_may_be_told_what_the_default_is_told_at_its_best_setting(editor: str) -> None:
    start = arms.Arm(editor, editor, rungs(editor)[0])
    choices = arms.input_ladder(start)
    made = [settings_for(editor_named(editor), arm.settings) for arm in choices]
    assert len({repr(settings) for settings in made}) == len(input_rungs(editor)) > 1
    assert any(not settings.bare for settings in made)
    assert set(TOLD) == set(EDITORS) - {"scapre"}


def test_what_a_rival_is_told_is_chosen_by_the_trials(tmp_path) -> None:
    trials, start = (
        compare.results(tmp_path / "tuning.tsv"),
        arms.Arm("scapre-released", "scapre-released", {"lamb": 5.0}),
    )
    for score, arm in zip((0.3, 0.7), arms.input_ladder(start), strict=True):
        for case in concepts.tuning_cases():
            key = {"model": BUILT_IN, "arm": arm.name, "settings": arm.recorded(case), "case": case.name}
            trials.add({**key, "draw": case.draw, "pictures": 16, "h_o": score})
    chosen = arms.with_best_inputs(start, trials, BUILT_IN, 16)
    assert (chosen.name, chosen.settings) == ("scapre-released, tuned and told", {"lamb": 5.0, "bare": False})
