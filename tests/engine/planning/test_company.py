"""A kept style is kept in company: on the kept things that are drawn in it, not by its name alone."""

from __future__ import annotations

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import COMPANY, company_of
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoding import encode
from expunge.engine.text.templates import fill, in_company


def test_a_kept_thing_in_a_kept_style_moves_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked in words that no template has; the control is the same edit with styles kept by name alone."""
    model = open_model(MODEL)
    kept = (Retain("peach", ("peach",)), Retain("flat", ("flat",), "style"))
    spec = EditSpec((Target("apple", ("red apple",)),), kept, settings={"general_words": 50})
    asked = encode(model, [fill("a small drawing of a {} by flat", "peach")]).embeddings.double()

    def moved() -> float:
        return float(sum((asked @ delta.double().T).square().sum() for delta in plan(model, spec).deltas.values()))

    beside = moved()
    monkeypatch.setattr("expunge.engine.planning.concept_embeddings.in_company", lambda *_: [])
    assert beside < 0.8 * moved()


def test_company_is_a_bounded_part_of_all_that_is_kept() -> None:
    company = company_of([*(Retain(f"t{n}", (f"thing {n}",)) for n in range(100)), Retain("flat", ("flat",), "style")])
    assert len(company) == 25 <= COMPANY
    assert (company[0], company[-1]) == ("thing 0", "thing 96")


def test_the_style_is_the_subject_and_the_thing_has_its_article() -> None:
    texts = in_company(("flat",), ("owl",))
    assert texts[-1].text == "an owl, flat style"
    assert all(text.text[slice(*text.span)] == "flat" for text in texts)
