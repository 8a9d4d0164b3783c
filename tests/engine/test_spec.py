"""What is to be erased and kept is said in a way that can only be meant as it is."""

from __future__ import annotations

import pytest

from expunge.engine.errors import ConceptError
from expunge.engine.spec import CATEGORIES, EditSpec, Retain, Target
from expunge.engine.text.templates import WORDED_AS, templates


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"names": "taxi"}, r"t: names is the text 'taxi'; give a tuple, as in \('taxi',\)"),
        ({"names": ("taxi",), "prompts": "a {} thing"}, "t: prompts is the text"),
        ({"names": None}, "t: names are None; give a tuple of texts"),
        ({"names": ("taxi", None)}, "t: names are .*; give a tuple of texts"),
        ({"names": ("taxi",), "anchor": None}, "t: the anchor is None; give a name, or leave it out"),
        ({"names": ()}, "t: it needs at least one name"),
        ({"names": ("taxi",), "prompts": ("a {} thing", " ")}, "t: a prompt is empty"),
        ({"names": ("taxi",), "category": "company"}, "category 'company' does not exist; use one of object, style, p"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(fields: dict, problem: str) -> None:
    with pytest.raises(ConceptError, match=problem):
        Target("t", **fields)


@pytest.mark.parametrize("anchor", ["car", " Car", "cat", "CAT"])
def test_an_anchor_that_is_erased_itself_is_refused(anchor: str) -> None:
    with pytest.raises(ConceptError, match=f"target cat: the anchor {anchor!r} is itself erased"):
        EditSpec((Target("cat", ("cat",), anchor=anchor), Target("car", ("automobile", "car"))))


def test_a_name_is_one_targets_alone() -> None:
    with pytest.raises(ConceptError, match="'Car' is a name of two targets, auto and car; leave it to one"):
        EditSpec((Target("auto", ("car",), anchor="boat"), Target("car", ("Car",))))
    assert EditSpec((Target("cat", ("cat", "Cat")),)).targets


def test_what_is_kept_is_checked_alike_and_both_come_in_tuples() -> None:
    with pytest.raises(ConceptError, match="kin is the text 'car'"):
        Retain("police", ("police car",), kin="car")  # type: ignore[arg-type]
    with pytest.raises(ConceptError, match="category 'identity' does not exist"):
        Retain("someone", ("someone",), "identity")
    for alone in (Target("taxi", ("taxi",)), "taxi"):
        with pytest.raises(
            ConceptError, match=r"target: .*taxi.* stands alone; give a tuple of targets, as in \(Target"
        ):
            EditSpec(alone)  # type: ignore[arg-type]


def test_every_category_has_wordings_and_every_wording_of_a_policys_is_of_one() -> None:
    assert set(WORDED_AS.values()) == set(CATEGORIES)
    assert all(len(templates(category)) > 1 for category in CATEGORIES)
