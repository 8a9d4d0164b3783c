"""What is kept is read in whole sentences too, where the settings say so, and stays more of what it is in new ones."""

from __future__ import annotations

import pytest
import torch

from expunge.engine.editors.scapre import ScapreSettings
from expunge.engine.linalg import times
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import Reader, gather
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoding import encode
from expunge.engine.text.templates import SENTENCES, Wording, in_sentences
from expunge.engine.text.vocabulary import random_sentences
from tests.engine import tiny

CAT = Target("cat", ("cat",))
SPEC = EditSpec(
    (CAT,), (Retain("dog", ("dog",)), Retain("flat", ("flat",), "style"), Retain("ann", ("ann",), "person"))
)


def test_what_is_kept_weighs_as_much_in_sentences_as_in_templates_and_a_style_is_read_in_none():
    pipeline = tiny.pipeline()
    plain, read = (Reader.of(pipeline, ScapreSettings(sentences=share), 0) for share in (0.0, 2.0))
    for kept in SPEC.retain:
        before, after = (
            sum(weight for _, weight in reader.retained([kept], SPEC.erased, ())) for reader in (plain, read)
        )
        assert after == pytest.approx(before * (1 if kept.category == "style" else 2))
    general = [gather(pipeline, SPEC, reader.settings).general.mass for reader in (plain, read)]
    assert general[1] == pytest.approx(3 * general[0])


def test_other_sentences_are_read_of_other_names_and_none_that_names_what_is_erased():
    names = [f"name {number}" for number in range(40)]
    texts = in_sentences(names, "object", [])
    assert len(texts) == SENTENCES * len(names)
    assert len({text.filled("").text for text in texts}) > 20
    assert not any("teacher" in text.text for text in in_sentences(names, "object", ["teacher"]))


def test_random_sentences_are_the_same_whatever_is_erased_but_for_its_words():
    words = tiny.tokenizer()
    whole, without = (random_sentences(words, names, 2000, 50, 0) for names in ([], ["cat", "dog"]))
    assert whole == random_sentences(words, [], 2000, 50, 0)
    assert any("cat" in text.split() for text in whole)
    cut = [" ".join(word for word in text.split() if word not in ("cat", "dog", "cats", "dogs")) for text in whole]
    assert without == [text for text in cut if text]


def test_a_name_that_is_too_long_for_a_sentence_is_kept_in_its_templates():
    name = "horse " * (tiny.TOKENS - 9)
    reader = Reader.of(tiny.pipeline(), ScapreSettings(sentences=1.0), 0)
    texts = reader.retained([Retain("horses", (name.strip(),))], SPEC.erased, ())
    assert texts
    assert reader.encode([text for text, _ in texts]).embeddings.isfinite().all()


def test_a_kept_word_moves_less_in_a_sentence_that_nobody_read():
    pipeline = tiny.pipeline()
    told = [Wording(text, (0, len(text))) for text in ("rain fell on the dog", "the wind took one dog in")]
    x = encode(pipeline, told).embeddings.flatten(0, 1).double()
    moved = []
    for share in (0.0, 9.0):
        made = plan(pipeline, EditSpec((CAT,), SPEC.retain, settings={"sentences": share}))
        moved.append(sum(times(delta.double(), x.T).square().sum() for delta in made.deltas.values()))
    assert moved[1] < 0.8 * moved[0]
    assert torch.isfinite(moved[1])
