"""Encoding gives what the pipeline itself would use, each sequence once, and truncates nothing in silence."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from expunge.engine.emoji import MODEL
from expunge.engine.errors import ConceptError, MissingExtra
from expunge.engine.families import sd
from expunge.engine.models.load import open_model
from expunge.engine.spec import Target
from expunge.engine.text.encoded import in_reach, partners
from expunge.engine.text.encoding import encode, states
from expunge.engine.text.templates import Wording, fill, target_pairs, templates
from expunge.engine.text.typed_forms import other_spellings, spellings
from expunge.engine.text.vocabulary import general_words, words
from tests.engine import tiny
from tests.engine.families import tiny_families


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


def test_the_states_are_the_pipelines_own(pipeline):
    prompts = ["a picture of a cat", "", "a dog in the garden"]
    own = pipeline.encode_prompt(prompts, "cpu", 1, False)[0]
    encoded = encode(pipeline, prompts)
    assert encoded.embeddings.shape == (3, tiny.TOKENS, tiny.WIDTH)
    assert torch.allclose(encoded.embeddings, own, atol=1e-5)
    assert not encoded.embeddings.requires_grad


@pytest.mark.parametrize("part", ["text_encoder_2", "transformer"])
def test_an_encoder_in_training_is_read_without_its_dropout_and_stays_in_training(part: str):
    flux = tiny_families.flux()
    still = states(flux, ["pink pink"])
    getattr(flux, part).train()
    assert torch.equal(states(flux, ["pink pink"]), still)
    assert all(module.training for module in getattr(flux, part).modules())
    with torch.no_grad():
        dropped = flux.text_encoder_2(torch.ones(1, 4, dtype=torch.long))[0]
        again = flux.text_encoder_2(torch.ones(1, 4, dtype=torch.long))[0]
    assert torch.equal(dropped, again) is (part == "transformer"), "it has dropout"


def test_a_name_is_also_as_people_type_it_where_the_encoder_tells_capitals_apart(pipeline):
    """The sentence pieces know one capital, P."""
    flux = tiny_families.flux()
    assert spellings(pipeline, ["pink Cat"]) == ("pink Cat",)
    assert spellings(flux, ["pink cat"], stream=0) == ("pink cat",), "they have no capital C"
    assert spellings(flux, ["pink pink"], stream=0) == ("pink pink", "Pink Pink")
    assert spellings(flux, ["Pink"], stream=0) == ("Pink", "pink")
    assert spellings(flux, ["pink"], stream=1) == ("pink",), "which is CLIP"
    assert (other_spellings(flux, "pink"), other_spellings(pipeline, "pink")) == (("Pink",), ())


def test_a_name_is_also_in_capitals_where_the_encoder_has_them():
    flux = tiny_families.flux()
    flux.tokenizer_2 = tiny_families.pieces("pink", "PINK")
    assert spellings(flux, ["pink"]) == ("pink", "Pink", "PINK")


@pytest.mark.parametrize("typed", ["Levi's", 'the "Guernica"'])
def test_a_name_is_also_with_the_quotes_of_a_keyboard(typed: str) -> None:
    """A notice is printed, a prompt is typed."""
    base = open_model(MODEL)
    printed = typed.replace("'", "\u2019").replace(' "', " \u201c").replace('"', "\u201d")
    assert spellings(base, [printed]) == (printed, typed)
    assert spellings(base, [printed, typed]) == (printed, typed)
    assert other_spellings(base, printed) == (typed,)
    assert other_spellings(base, typed) == (printed,)


@pytest.mark.parametrize("there", [False, True])
def test_what_wan_reads_only_with_a_library_is_refused_without_it(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pipelines make `Levi's` of `Levi’s` where ftfy is installed, and tokens of their own where it is not."""
    cleans = SimpleNamespace(fix_text=lambda text: text.replace("\u2019", "'"))
    monkeypatch.setattr("expunge.engine.families.wan.find_spec", lambda name: name if there else None)
    monkeypatch.setattr("diffusers.pipelines.wan.pipeline_wan.is_ftfy_available", lambda: there)
    monkeypatch.setattr("diffusers.pipelines.wan.pipeline_wan.ftfy", cleans, raising=False)
    error, told = (ConceptError, 'would read "pink') if there else (MissingExtra, "by ftfy .*: `pip install ftfy`")
    pipeline = tiny_families.wan()
    with pytest.raises(error, match=told):
        states(pipeline, ["pink\u2019s cat"])
    assert not any("\u2019" in form for form in spellings(pipeline, ["pink's cat"]))


def test_a_textual_inversion_of_several_vectors_is_refused_for_the_pipeline_reads_more_than_is_written():
    pipeline = tiny.pipeline()
    pipeline.load_textual_inversion({"<one>": torch.ones(1, tiny.WIDTH)})
    pipeline.load_textual_inversion({"<pet>": torch.randn(3, tiny.WIDTH, generator=torch.Generator().manual_seed(0))})
    own = pipeline.encode_prompt(["a <one>"], "cpu", 1, False)[0]
    assert torch.allclose(states(pipeline, ["a <one>"]), own, atol=1e-5)
    assert pipeline.maybe_convert_prompt("a <pet>", pipeline.tokenizer) == "a <pet> <pet>_1 <pet>_2"
    for read in (encode, states):
        with pytest.raises(ConceptError, match="'<pet>' is a textual inversion of several vectors"):
            read(pipeline, ["a cat", "a <pet>"])


def test_identical_sequences_are_encoded_once(pipeline, monkeypatch: pytest.MonkeyPatch):
    seen = []
    real = pipeline.text_encoder.forward
    monkeypatch.setattr(
        pipeline.text_encoder, "forward", lambda ids, *a, **k: seen.append(len(ids)) or real(ids, *a, **k)
    )
    encoded = encode(pipeline, ["cat", "CAT", " cat ", "dog", "cat"])
    assert sum(seen) == 2
    assert torch.equal(encoded.embeddings[0], encoded.embeddings[4])


def test_spans_point_at_the_subject(pipeline):
    cases = [
        ("a picture of a {}", "red cat", (5, 7)),
        ("{}", "cat", (1, 2)),
        ("a {} in noto", "", (2, 2)),
        ("{}", "", (1, 1)),
    ]
    spans = encode(pipeline, [fill(template, words) for template, words, _ in cases]).spans
    assert [tuple(span) for span in spans.tolist()] == [span for *_, span in cases]


def test_partners_line_up_around_the_subject(pipeline):
    texts = encode(pipeline, [fill("a picture of a {} in noto style", "red cat")])
    for anchor, beside, expected in [
        ("dog", 0, [*range(5), 5, 5, 6, 7, 8]),
        ("", 0, [*range(5), 5, 5, 5, 6, 7]),
        ("", -1, [*range(5), 4, 4, 5, 6, 7]),
        ("big blue dog", 0, [*range(5), 6, 7, 8, 9, 10]),
    ]:
        anchors = encode(pipeline, [fill("a picture of a {} in noto style", anchor)])
        assert partners(texts, anchors, beside)[0, :10].tolist() == expected
        without = int(anchor == "big blue dog")  # one token longer, so that the last one has no place in it
        assert in_reach(texts, anchors)[0].tolist() == [True] * (tiny.TOKENS - without) + [False] * without


def test_a_prompt_that_is_too_long_shows_what_would_be_lost(pipeline):
    prompt = "a cat " + "and a dog " * 10 + "and a horse"
    with pytest.raises(ConceptError, match=r"reads 24.*lose.*and a horse"):
        encode(pipeline, ["cat", prompt])
    assert encode(pipeline, ["cat " * (tiny.TOKENS - 2)]).spans.tolist() == [[1, tiny.TOKENS - 1]]


def test_wordings_keep_all_before_the_concept_and_its_article():
    assert fill("a photo of a {}", "apple") == Wording("a photo of an apple", (14, 19))
    target = Target("apple", ("apple", "pear"), prompts=("{} on the table", "newton and gravity"))
    pairs = target_pairs(target, templates(target.category))
    for text, anchor in pairs:
        assert text.text[: text.span[0]] == anchor.text[: anchor.span[0]]
        assert text.text[text.span[1] :] == anchor.text[anchor.span[1] :]
    said = [text.text for text, _ in pairs]
    assert {"apple", "pear", "an apple", "pear on the table", "newton and gravity"} <= set(said)


def test_an_unknown_category_lists_the_known():
    with pytest.raises(ConceptError, match="object, person, style"):
        templates("weather")


def test_general_words_are_the_models_own_without_the_targets(pipeline):
    pool = words(pipeline.tokenizer)
    assert {"cat", "noto", "horse"} <= set(pool)
    chosen = general_words(pipeline.tokenizer, ["red Apples", "cat"], 20, seed=1)
    assert len(chosen) == 20
    assert not {"red", "apple", "cat"} & set(general_words(pipeline.tokenizer, ["red Apples", "cat"], 999, seed=1))
    assert chosen == general_words(pipeline.tokenizer, ["red Apples", "cat"], 20, seed=1)
    assert chosen != general_words(pipeline.tokenizer, ["red Apples", "cat"], 20, seed=2)


def test_embedding_goes_through_the_family(pipeline):
    ids = torch.tensor([pipeline.tokenizer("cat", padding="max_length")["input_ids"]])
    assert torch.equal(sd.embed(pipeline, ids, 0), pipeline.text_encoder(ids)[0])
