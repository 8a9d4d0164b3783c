"""A target that names no anchor becomes the mean of other words in its place; one that names an anchor becomes that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from expunge.engine.editors import EDITORS, settings_for
from expunge.engine.editors.scapre import ScapreSettings
from expunge.engine.editors.uce import UceSettings
from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import twins
from expunge.engine.errors import ConceptError, SettingError
from expunge.engine.models.load import open_model
from expunge.engine.planning import concept_embeddings as gathering
from expunge.engine.planning.anchors import WORDS, Anchors
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import Reader
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoded import Encoded
from expunge.engine.text.encoding import encode
from expunge.engine.text.templates import Wording
from tests.engine import tiny

OTHERS = ("lamp", "stone", "river")
MEAN = {"default_anchor": "mean", "general_words": 20}
CAT = EditSpec((Target("cat", ("cat", "kitty")),), (Retain("dog", ("dog",)),), settings=MEAN)


class Stream:
    """The tiny encoder, three prompts at a time, and how many it was asked for."""

    def __init__(self) -> None:
        self.pipeline, self.asked = tiny.pipeline(), []

    def encode(self, prompts: Sequence[Wording]) -> Encoded:
        self.asked.append(len(prompts))
        return encode(self.pipeline, prompts)

    def blocks(self, rows: Sequence[Wording]) -> list[Sequence[Wording]]:
        return [rows[start : start + 3] for start in range(0, len(rows), 3)]


def test_an_open_wording_is_the_mean_over_words_token_by_token():
    stream, wording = Stream(), Wording("a photo of a  on the table", (13, 13))
    found, (place,) = Anchors(stream, [wording], [*OTHERS, "flower"]).of([wording])
    texts = [f"a photo of a {word} on the table" for word in (*OTHERS, "flower")]
    expected = encode(stream.pipeline, texts).embeddings.mean(0)
    assert torch.allclose(found.embeddings[place], expected, atol=1e-5)
    lamp = encode(stream.pipeline, [wording.filled("lamp")])
    assert torch.equal(found.spans[place], lamp.spans[0])
    assert max(stream.asked) == 3, "no more at once than a block may hold"


def test_words_of_several_tokens_are_left_out_of_the_mean_for_what_follows_them_stands_elsewhere():
    stream, wording = Stream(), Wording("a photo of a  on the table", (13, 13))
    (mean, _), (same, _) = (Anchors(stream, [wording], words).of([wording]) for words in (OTHERS, (*OTHERS, "zebra")))
    assert torch.equal(mean.embeddings, same.embeddings)
    with pytest.raises(ConceptError, match="none of zebra, giraffe is one token to the encoder; name an anchor"):
        Anchors(stream, [wording], ["zebra", "giraffe"])


def test_named_anchors_are_what_they_are_and_nothing_is_read_twice():
    stream, named, open_ = Stream(), Wording("a car", (2, 5)), Wording("a ", (2, 2))
    anchors = Anchors(stream, [open_, named, open_], OTHERS)
    found, places = anchors.of([named, open_, named])
    assert places == [0, 1, 0]
    assert torch.equal(found.embeddings[0], encode(stream.pipeline, [named]).embeddings[0])
    before = len(stream.asked)
    anchors.of([open_])
    assert len(stream.asked) == before


def test_without_words_an_open_wording_is_read_as_it_is():
    stream, wording = Stream(), Wording("a photo of a ", (13, 13))
    found, _ = Anchors(stream, [wording]).of([wording])
    assert torch.equal(found.embeddings, encode(stream.pipeline, [wording]).embeddings)


@pytest.mark.parametrize("editor", EDITORS)
def test_it_changes_what_has_no_anchor_and_only_that(editor: str):
    pipeline = tiny.pipeline()
    targets = (Target("cat", ("cat",)), Target("noto", ("noto",), "style", anchor="flat"))
    for chosen, same in ((targets[:1], False), (targets[1:], True)):
        empty, mean = (
            plan(pipeline, EditSpec(chosen, CAT.retain, editor, {"general_words": 20, "default_anchor": anchor}))
            for anchor in ("empty", "mean")
        )
        assert all(torch.equal(empty.deltas[name], mean.deltas[name]) for name in mean.deltas) == same


def test_a_target_becomes_the_mean_as_strength_grows():
    def left(strength: float) -> float:
        free = {"retain": 0.0, "general": 0.0, "ridge": 1e-6, "bare": True, "tokens": "last"}
        made = plan(tiny.pipeline(), replace(CAT, settings={**MEAN, **free, "strength": strength}))
        return max(told["residual"] for told in made.diagnostics.values())

    assert left(1e9) < 1e-6 < 0.1 < left(1e-9)


def test_the_mean_is_of_words_that_are_no_targets_and_the_same_for_every_order():
    reader = Reader.of(tiny.pipeline(), settings_for(EDITORS["scapre"], MEAN), 0)
    words = reader.others(CAT)
    assert len(words) == WORDS
    assert not {"cat", "kitty"} & set(words)
    assert words == reader.others(replace(CAT, targets=(Target("cat", ("kitty", "cat")),)))


def test_a_vocabulary_without_words_is_refused_unless_every_anchor_is_named(monkeypatch: pytest.MonkeyPatch):
    for name in ("general_words", "sampled_words"):
        monkeypatch.setattr(gathering, name, lambda *_: [])
    plan(tiny.pipeline(), replace(CAT, targets=tuple(replace(target, anchor="dog") for target in CAT.targets)))
    with pytest.raises(
        ConceptError, match="no whole word that names no target; name an anchor, or let default_anchor be 'empty'"
    ):
        plan(tiny.pipeline(), CAT)


def test_another_default_anchor_is_refused():
    with pytest.raises(SettingError, match=r"scapre\.default_anchor is 'median'.*empty, mean"):
        settings_for(EDITORS["scapre"], {"default_anchor": "median"})
    assert settings_for(EDITORS["scapre"], {}) == ScapreSettings(default_anchor="mean")
    assert settings_for(EDITORS["uce"], {}) == UceSettings(default_anchor="empty")


def test_on_a_trained_model_it_erases_more_and_moves_less():
    model, erased = open_model(MODEL), ("panda", "guitar", "red apple")
    kept = sorted({twin for name in erased for twin in twins(name)} - set(erased))
    asked = EditSpec(
        tuple(Target(name.replace(" ", "-"), (name,)) for name in erased),
        tuple(Retain(name.replace(" ", "-"), (name,)) for name in kept),
    )
    settings = ({"strength": 3.0, "default_anchor": anchor} for anchor in ("empty", "mean"))
    empty, mean = (plan(model, replace(asked, settings=given)) for given in settings)
    for measure in ("residual", "drift", "change"):
        worst, before = (max(told[measure] for told in made.diagnostics.values()) for made in (mean, empty))
        assert worst < before, measure
