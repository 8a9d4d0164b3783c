"""What one encoder reads as one name is not erased and kept at once, however it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.errors import ConceptError
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.make import make
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text import name_collisions as apart
from tests.engine import tiny
from tests.engine.families import tiny_families


@pytest.mark.parametrize("build", [tiny.pipeline, tiny_families.sdxl, tiny_families.sd3], ids=["sd", "sdxl", "sd3"])
def test_an_anchor_that_is_read_as_the_target_is_refused(build: Callable[[], Any]) -> None:
    spec = EditSpec((Target("cat2", ("cat2",), anchor="cat 2"),), editor="uce")
    with pytest.raises(ConceptError, match="anchor of cat2: the text encoder reads 'cat 2' as it reads 'cat2'"):
        plan(build(), spec)


@pytest.mark.parametrize("editor", ["scapre", "uce", "esd"])
def test_a_kept_name_that_is_read_as_a_target_is_refused(editor: str) -> None:
    spec = EditSpec((Target("cat2", ("cat2",), anchor="dog"),), (Retain("other", ("cat 2",)),), editor=editor)
    with pytest.raises(ConceptError, match=r"retain other: .* which is erased \(target cat2\)"):
        make(tiny.pipeline(), spec)


def test_a_name_of_two_targets_is_refused_and_two_of_one_target_are_not() -> None:
    both = (Target("a", ("cat2",), anchor="dog"), Target("b", ("cat 2",), anchor="dog"))
    with pytest.raises(ConceptError, match="target b"):
        plan(tiny.pipeline(), EditSpec(both, editor="uce"))
    assert plan(tiny.pipeline(), EditSpec((Target("a", ("cat2", "cat 2"), anchor="dog"),), editor="uce")).deltas


def test_names_that_are_read_apart_are_let_be() -> None:
    spec = EditSpec((Target("cat2", ("cat2",), anchor="cat 3"),), (Retain("cat", ("cat",)),), editor="uce")
    assert plan(tiny.pipeline(), spec).deltas


def test_a_kept_name_that_is_erased_in_another_spelling_is_refused_where_editors_erase_it() -> None:
    """The default erases a name as people type it too; published editors as it is given."""
    spec = EditSpec((Target("jeans", ("Levi\u2019s",), anchor="bus"),), (Retain("brand", ("Levi's",)),))
    base = open_model(MODEL)
    with pytest.raises(ConceptError, match=r"retain brand: .* as it reads .*, which is erased \(target jeans\)"):
        plan(base, spec)
    assert plan(base, replace(spec, editor="uce")).deltas


class OneToken:
    """A tokenizer to which every name is this token; 0 is none that it knows."""

    unk_token_id = 0

    def __init__(self, token: int) -> None:
        self.token = token

    def __call__(self, names: list[str], add_special_tokens: bool) -> Any:
        return SimpleNamespace(input_ids=[[self.token]] * len(names))


def read_by(*tokens: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "family_of", lambda _: SimpleNamespace(tokenizers=lambda *_: list(map(OneToken, tokens))))
        apart.check_apart(None, EditSpec((Target("cat", ("cat",), anchor="dog"),), (Retain("owl", ("owl",)),)))


@pytest.mark.parametrize("tokens", [(0,), (0, 7), (7, 0)])
def test_names_that_an_encoder_does_not_know_are_not_one(tokens: tuple[int, ...]) -> None:
    read_by(*tokens)
    with pytest.raises(ConceptError, match="anchor of cat"):
        read_by(*(7 for _ in tokens))
