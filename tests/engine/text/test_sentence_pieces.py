"""Encoders that read sentence pieces, clean their texts or pool them: places meet, and the unreadable is refused."""

from __future__ import annotations

import pytest
import torch

from expunge.engine.editors import EDITORS, settings_for
from expunge.engine.errors import ConceptError
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import Reader
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoded import partners
from expunge.engine.text.encoding import _check_known, encode, states
from expunge.engine.text.templates import Wording, fill
from expunge.engine.text.vocabulary import words
from tests.engine import tiny
from tests.engine.families import tiny_families


def test_sentence_pieces_have_no_start_and_the_places_still_meet() -> None:
    pipeline = tiny_families.flux()
    spans = encode(pipeline, ["", Wording("cat in noto", (0, 3)), Wording(" in noto", (0, 0))]).spans
    assert spans.tolist() == [[0, 0], [0, 1], [0, 0]]
    text, nothing = encode(pipeline, ["cat"]), encode(pipeline, [""])
    assert torch.equal(nothing.last(), nothing.embeddings[:, 0])
    assert nothing.chosen("last").nonzero().tolist() == [[0, 0]]
    for neighbour in (0, -1):
        assert partners(text, nothing, neighbour)[0, :3].tolist() == [0, 0, 1]


@pytest.mark.parametrize("names", [("草間", "Малевич"), ("cat 草間", "cat Малевич")])
def test_a_name_with_an_unknown_piece_is_refused_for_any_other_could_stand_in_its_place(names: tuple[str, str]) -> None:
    """CLIP knows every byte."""
    pipeline = tiny_families.flux()
    first, second = pipeline.tokenizer_2(list(names)).input_ids
    assert first == second
    for name in names:
        for asked in (name, fill("a picture of {}", name)):
            with pytest.raises(ConceptError, match=f"no tokens for '{name}', or for a part of it.*respell"):
                encode(pipeline, ["dog", asked])
        with pytest.raises(ConceptError, match="respell"):
            plan(pipeline, EditSpec((Target("painter", (name,)),)))
        assert encode(tiny.pipeline(), [name]).embeddings.isfinite().all()
    assert encode(pipeline, [Wording("草間 in a cat", (8, 11))]).spans.tolist() == [[4, 5]]


def test_a_name_that_leaves_no_token_is_refused() -> None:
    tokenizer = tiny_families.flux().tokenizer_2
    with pytest.raises(ConceptError, match="no tokens for "):
        _check_known(tokenizer, [], "\u200b")
    _check_known(tokenizer, [], " ")  # a wording without its concept


def test_a_text_that_the_pipeline_would_clean_is_refused_and_shown_clean() -> None:
    """Spaces, which its tokenizer does not see, are none of that."""
    pipeline = tiny_families.wan()
    for text, clean in [("cat &amp; dog", "cat & dog"), ("a\tcat", "a cat"), ("&amp;lt; cat", "< cat")]:
        for read in (encode, states):
            with pytest.raises(ConceptError) as caught:
                read(pipeline, ["cat", text])
            assert f"cleans {text!r} and would read {clean!r}" in str(caught.value)
    with pytest.raises(ConceptError, match="would read 'cat & dog'"):
        plan(pipeline, EditSpec((Target("pets", ("cat &amp; dog",)),)))
    told = ["cat & dog", " a  cat ", fill("a {} in noto", "").text]
    own = pipeline.encode_prompt(told, max_sequence_length=512)[0]
    assert torch.allclose(states(pipeline, told), own, atol=1e-5)
    assert encode(tiny_families.unet3d(), ["cat &amp; dog"]).spans.tolist() == [[1, 8]]


def test_a_word_with_a_capital_is_no_word_of_the_vocabulary_for_in_small_letters_it_is_many_tokens() -> None:
    cased = tiny_families.pieces("Paris")
    assert len(cased(["Paris"]).input_ids[0]) == 2
    assert len(cased(["paris"]).input_ids[0]) > 2
    assert words(cased) == words(tiny_families.pieces())


def test_of_sentence_pieces_only_what_english_letters_spell_is_a_word_of_the_vocabulary() -> None:
    assert words(tiny_families.pieces("кошка", "água", "puente")) == sorted({*words(tiny_families.pieces()), "puente"})


def test_what_is_kept_is_kept_in_capitals_too_where_the_encoder_tells_them_apart() -> None:
    flux = tiny_families.flux()
    flux.tokenizer_2 = tiny_families.pieces("Dog", "DOG", "Cat", "Tree")
    flux.text_encoder_2.resize_token_embeddings(len(flux.tokenizer_2))
    reader = Reader.of(flux, settings_for(EDITORS["scapre"], {}), 0)
    kept = [text.text for text, _ in reader.retained([Retain("dog", ("dog",))], ["cat"], ())]
    assert {"dog", "Dog", "DOG"} <= set(kept)
    assert sum(weight for _, weight in reader.retained([Retain("dog", ("dog",))], ["cat"], ())) == pytest.approx(1)
    assert reader.in_turn(["cat", "dog", "tree", "lamp"]) == ["cat", "Dog", "tree", "lamp"], "it has no Lamp"
    clip = Reader.of(tiny.pipeline(), settings_for(EDITORS["scapre"], {}), 0)
    assert clip.in_turn(["cat", "dog"]) == ["cat", "dog"]


def test_a_pooled_vector_stands_for_the_whole_prompt() -> None:
    encoded = encode(tiny_families.flux(), [Wording("a cat in noto", (2, 5)), Wording("", (0, 0))], stream=1)
    assert encoded.embeddings.shape[:2] == (2, 1)
    assert encoded.spans.tolist() == [[0, 1], [0, 1]]
    assert all(encoded.chosen(tokens).all() for tokens in ("all", "tail", "last"))
