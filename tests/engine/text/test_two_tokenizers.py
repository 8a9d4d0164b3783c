"""Stable Diffusion XL and 3 as loaded from a folder: the second tokenizer takes each `!`, its padding, for a token."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from expunge.engine.errors import ConceptError
from expunge.engine.families import family_of
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.probes.attacks.words import conditioning
from expunge.engine.probes.levels import readable
from expunge.engine.probes.prompts.families import Question, Subject
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoding import encode, states
from expunge.engine.text.templates import Wording, fill
from tests.engine import tiny
from tests.engine.families import tiny_families

BUILDERS = {"sdxl": tiny_families.sdxl, "sd3": tiny_families.sd3}
EXCLAIMED = ["cat!", "P!nk", "!", "wow ! a cat", "!cat! dog"]
UNLIKE = ["!!", "a cat!!", "wow!! a cat"]  # in which the tokenizers find different numbers of tokens
PLAIN = ["a cat", "", "a dog in the garden."]


@pytest.fixture(scope="module", params=BUILDERS)
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Saved and opened again, with `!!` one token of the first tokenizer, as in the published vocabulary."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "WORDS", [*tiny.WORDS, "!!"])
        BUILDERS[request.param]().save_pretrained(folder)
    opened = open_model(folder)
    opened.set_progress_bar_config(disable=True)
    return opened


def own(pipeline: Any, prompts: list[str]) -> list[torch.Tensor]:
    """The states of tokens and of prompts as a whole that the pipeline makes by itself."""
    further = {} if hasattr(pipeline, "unet") else {"prompt_2": None, "prompt_3": None}
    with torch.no_grad():
        return pipeline.encode_prompt(prompts, **further, do_classifier_free_guidance=False)[::2]


def test_the_tokenizers_differ_as_those_of_published_folders_do(pipeline: Any) -> None:
    first, second = pipeline.tokenizer, pipeline.tokenizer_2
    assert first.get_vocab() == second.get_vocab()
    assert first.tokenize("cat!") == ["cat</w>", "!</w>"]
    assert second.tokenize("cat!") == ["cat</w>", "!"]
    assert (len(first.tokenize("!!")), len(second.tokenize("!!"))) == (1, 2)


def test_each_encoder_is_fed_the_tokens_of_its_own_tokenizer(pipeline: Any) -> None:
    prompts = [*EXCLAIMED, *UNLIKE, *PLAIN]
    kind = family_of(pipeline)
    found = kind.arguments(pipeline, [states(pipeline, prompts, stream) for stream in range(kind.streams)])
    attacked = conditioning(pipeline, prompts)
    for name, expected in zip(("prompt_embeds", "pooled_prompt_embeds"), own(pipeline, prompts), strict=True):
        for fed in (found[name], attacked[name]):
            assert (fed - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_where_the_places_agree_a_concept_is_found_at_them(pipeline: Any) -> None:
    encoded = encode(
        pipeline, [*EXCLAIMED, fill("a picture of {}!", "P!nk"), Wording("a cat!!", (2, 5)), Wording("a !!", (2, 2))]
    )
    assert torch.equal(encoded.embeddings[:5], states(pipeline, EXCLAIMED))
    assert encoded.spans.tolist() == [[1, 3], [1, 5], [1, 2], [1, 7], [1, 5], [4, 8], [2, 3], [2, 2]]


def test_where_they_do_not_the_text_is_named_and_refused(pipeline: Any) -> None:
    for prompt in [*UNLIKE, Wording("wow!! a cat", (8, 11))]:
        text = prompt if isinstance(prompt, str) else prompt.text
        with pytest.raises(ConceptError, match=f"'{text}'.*at different places; leave out the punctuation"):
            encode(pipeline, ["a cat", prompt])


def test_it_is_drawn_as_the_pipeline_draws_it_and_erased(pipeline: Any) -> None:
    sampler = Sampler(steps=2, apart=False)
    for prompt in ("P!nk", "a cat!!"):
        (_, picture) = next(generate(pipeline, [Shot(prompt, 0)], sampler))
        how = {"num_inference_steps": 2, "guidance_scale": sampler.guidance, "output_type": "np"}
        output = pipeline(prompt=prompt, generator=torch.Generator().manual_seed(0), **how)
        assert abs(picture - output.images[0] * 255).max() <= 1
    spec = EditSpec((Target("pink", ("P!nk",), anchor="cat"),), (Retain("dog", ("dog",)),), editor="uce")
    with applied(pipeline, plan(pipeline, spec)):
        assert (next(generate(pipeline, [Shot("P!nk", 0)], sampler))[1] != picture).any()
    with pytest.raises(ConceptError, match="at different places"):
        plan(pipeline, EditSpec((Target("wow", ("wow!!",)),), editor="uce"))


def test_what_is_too_long_for_one_of_them_is_left_out(pipeline: Any) -> None:
    """Twelve tokens to the first tokenizer and 24 to the second, which has no room for start and end beside them."""
    subject = Subject("cat", "target", "object", "cat")
    asked = [Question(subject, "misspelling", Shot(prompt, 0)) for prompt in ("cat !!", "!! " * (tiny.TOKENS // 2))]
    assert readable(pipeline, asked) == (asked[:1], asked[1:])
    with pytest.raises(ConceptError, match="26 tokens, the encoder reads 24"):
        states(pipeline, [asked[1].shot.prompt])
