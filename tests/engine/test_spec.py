"""What is to be erased and kept is said in a way that can only be meant as it is."""

from __future__ import annotations

import numpy as np
import pytest

from engine.editors import editor_named
from engine.emoji import JUDGE
from engine.errors import ConceptError, ModelFormatError, SettingError
from engine.judges import ClipJudge
from engine.spec import EditSpec, Retain, Target
from engine.tuning import ladder
from engine.wordings import WORDED_AS, templates


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"names": "taxi"}, r"t: names is the text 'taxi'; give a tuple, as in \('taxi',\)"),
        ({"names": ("taxi",), "prompts": "a {} thing"}, "t: prompts is the text"),
        ({"names": ()}, "t: it needs at least one name"),
        ({"names": ("taxi",), "category": "company"}, "category 'company' does not exist; use one of object, style, p"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(fields: dict, problem: str) -> None:
    with pytest.raises(ConceptError, match=problem):
        Target("t", **fields)


def test_what_is_kept_is_checked_alike_and_both_come_in_tuples() -> None:
    with pytest.raises(ConceptError, match="kin is the text 'car'"):
        Retain("police", ("police car",), kin="car")  # type: ignore[arg-type]
    with pytest.raises(ConceptError, match="category 'identity' does not exist"):
        Retain("someone", ("someone",), "identity")
    with pytest.raises(ConceptError, match="target taxi is given alone; give a tuple of them"):
        EditSpec(Target("taxi", ("taxi",)))  # type: ignore[arg-type]


def test_every_category_of_a_policy_is_worded_by_one_of_the_engines() -> None:
    for worded_as in WORDED_AS.values():
        assert Target("one", ("one",), worded_as).category == worded_as
        assert len(templates(worded_as)) > 1


def test_an_editor_that_trains_is_told_where_it_can_be_had() -> None:
    with pytest.raises(
        SettingError, match=r"'esd' is none in closed form \(engine.editing.make takes any\); known: sc"
    ):
        editor_named("esd")


def test_a_search_is_asked_of_auto_alone_and_names_its_own_settings() -> None:
    one = (Target("taxi", ("taxi",)),)
    with pytest.raises(SettingError, match="editor is 'uce', which leaves nothing to choose; use 'auto'"):
        ladder(EditSpec(one, editor="uce"))
    with pytest.raises(SettingError, match=r"have no setting 'max_residul' \(did you mean 'max_residual'\?\)"):
        ladder(EditSpec(one, editor="auto", settings={"max_residul": 0.1}))


@pytest.mark.parametrize("concepts", ["taxi", ["taxi"]])
def test_a_judge_is_asked_for_one_concept_a_picture(concepts: list[str] | str) -> None:
    with pytest.raises(ConceptError, match=r"4 pictures and .*: give a list with one concept a picture"):
        ClipJudge(str(JUDGE)).look(np.zeros((4, 64, 64, 3), np.uint8), concepts, "object")


def test_a_plan_that_is_not_there_is_not_called_a_bad_plan() -> None:
    from engine.deltas import EditPlan

    with pytest.raises(ModelFormatError, match="no-plan is not there; name the file of a saved edit plan"):
        EditPlan.load("no-plan")
