"""Plans of different editors are held against the same tokens, and an editor's own figures are of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.engine.editors.uce import UceSettings
from expunge.engine.errors import DigestMismatch
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.compare import EVERY_TOKEN, figures
from expunge.engine.plans.edit_plan import apply
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine import tiny

SPEC = EditSpec((Target("cat", ("cat", "kitty"), anchor="bird"),), (Retain("dog", ("dog",)),))


def test_read_as_the_editor_reads_them_they_are_the_plans_own() -> None:
    pipeline = tiny.pipeline()
    for spec, read in (
        (replace(SPEC, settings={"general_words": 0}), EVERY_TOKEN),
        (replace(SPEC, editor="uce"), UceSettings()),
    ):
        made = plan(pipeline, spec)
        assert figures(pipeline, spec, made, read) == made.diagnostics


def test_an_editor_of_bare_names_leaves_more_of_all_wordings_than_its_own_figures_say() -> None:
    pipeline, spec = tiny.pipeline(), replace(SPEC, editor="uce")
    made = plan(pipeline, spec)
    alike = figures(pipeline, spec, made)
    assert alike.keys() == made.deltas.keys()
    for layer, told in alike.items():
        assert told["change"] == made.diagnostics[layer]["change"]
        assert told["residual"] > 2 * made.diagnostics[layer]["residual"]


def test_a_plan_of_another_model_has_no_figures_here() -> None:
    pipeline = tiny.pipeline()
    made = plan(pipeline, SPEC)
    apply(pipeline, made)
    with pytest.raises(DigestMismatch):
        figures(pipeline, SPEC, made)
