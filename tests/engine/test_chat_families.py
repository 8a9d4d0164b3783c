"""FLUX.2 klein on its real classes, whose text is what a user says to a chat model.

Its encoder is deep, so each test asks it for few prompts: a plan without templates, and names in one spelling.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.chat import Chat
from engine.deltas import applied, apply, undo
from engine.editors import EDITORS
from engine.encoders import encoder_digests
from engine.errors import ConceptError, UnknownArchitecture
from engine.families import family_of, projections
from engine.lora import lora_of
from engine.model import open_model
from engine.planning import plan
from engine.rewriting import write_edited
from engine.sampling import Sampler, Shot, generate, noise_seed
from engine.spec import EditSpec, Retain, Target
from engine.text import encode, spellings, states, told
from engine.vocabulary import words
from engine.wordings import Wording
from tests.engine import tiny, tiny_families
from tests.engine.digests import digests

ENTRANCE = "transformer.context_embedder.weight"
SPEC = EditSpec(
    (Target("cat", ("cat",), anchor="dog"),),
    settings={"strength": 1e9, "retain": 0.0, "general": 0.0, "ridge": 1e-6, "bare": True, "general_words": 0},
)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_families.flux2_klein()


@pytest.fixture(scope="module")
def made(pipeline: Any) -> Any:
    return plan(pipeline, SPEC)


@torch.no_grad()
def test_the_states_are_what_the_pipeline_itself_feeds(pipeline: Any) -> None:
    prompts = ["a picture of a cat", "", "a Dog in the garden!"]
    fed, expected = told(pipeline, prompts, torch.device("cpu")), pipeline.encode_prompt(prompts)[0]
    assert fed["prompt_embeds"].shape == expected.shape
    assert (fed["prompt_embeds"] - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (fed["negative_prompt_embeds"] - expected[1]).abs().max() <= 1e-5 * expected.abs().max()


def test_the_entrance_is_fed_by_these_states_and_by_nothing_else(pipeline: Any) -> None:
    seen: list[Tensor] = []
    (entrance,) = projections(pipeline)
    assert entrance.name == ENTRANCE
    hook = pipeline.transformer.context_embedder.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    drawn(pipeline, "a cat", guidance=2.0)
    hook.remove()
    known = states(pipeline, ["a cat", ""])
    assert len(seen) == 2 * 3
    for fed in seen:
        assert min((fed - own).abs().max().item() for own in known) < 1e-4


def test_two_prompts_at_once_are_drawn_as_one_after_the_other(pipeline: Any) -> None:
    """The pipeline itself has one empty prompt for all states that it is given, which fits one picture only."""
    shots, sampler = [Shot("a cat", 0), Shot("a dog", 1)], Sampler(steps=2, batch=2)
    for shot, picture in generate(pipeline, shots, sampler):
        output = pipeline(
            prompt=shot.prompt,
            generator=torch.Generator().manual_seed(noise_seed(shot, sampler)),
            num_inference_steps=sampler.steps,
            guidance_scale=sampler.guidance,
            output_type="np",
        )
        assert np.abs(output.images[0] * 255 - picture).max() <= 1


def test_plan_apply_undo(pipeline: Any, made: Any) -> None:
    before = digests(pipeline)
    assert set(made.deltas) == {ENTRANCE}
    state = apply(pipeline, made)
    after = digests(pipeline)
    assert {name for name in before if after[name] != before[name]} == {ENTRANCE}
    undo(pipeline, state)
    assert digests(pipeline) == before


@pytest.mark.parametrize("editor", [name for name in EDITORS if name != "scapre"])
def test_every_editor_plans_on_it(pipeline: Any, editor: str) -> None:
    """The default as well, which all other tests are of."""
    few = {"general_words": 10} if editor != "scapre-released" else {}
    concepts = (Target("cat", ("cat",)),), (Retain("dog", ("dog",)),)
    edited = plan(pipeline, EditSpec(*concepts, editor=editor, settings=few))
    assert set(edited.deltas) == {ENTRANCE}
    assert edited.deltas[ENTRANCE].any()


def test_a_target_becomes_its_anchor(pipeline: Any) -> None:
    """In float64, for what float32 rounds off can be more than the edit leaves."""
    wide = copy.deepcopy(pipeline).to(torch.float64)
    target, anchor = drawn(wide, "cat"), drawn(wide, "dog")
    with applied(wide, plan(wide, SPEC)):
        left = (drawn(wide, "cat") - anchor).norm() / (target - anchor).norm()
    assert left < 1e-3


def drawn(pipeline: Any, prompt: str, guidance: float = 1.0) -> Tensor:
    how = {"generator": torch.Generator().manual_seed(0), "num_inference_steps": 3, "output_type": "latent"}
    return torch.as_tensor(pipeline(prompt=prompt, guidance_scale=guidance, **how).images).double()


def test_a_folder_is_opened_edited_and_opened_again(pipeline: Any, made: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "base")
    opened = open_model(tmp_path / "base")
    assert encoder_digests(opened) == encoder_digests(pipeline)
    write_edited(tmp_path / "base", made, tmp_path / "edited")
    with applied(pipeline, made):
        assert digests(open_model(tmp_path / "edited")) == digests(pipeline)


def test_its_edit_is_a_lora_that_diffusers_loads(pipeline: Any, made: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="load_lora_weights needs PEFT: pip install peft")
    lora_of(made).save(tmp_path / "lora.safetensors")
    loaded = copy.deepcopy(pipeline)
    loaded.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", local_files_only=True)
    loaded.fuse_lora(components=["transformer"])
    with applied(pipeline, made) as state:
        edited, before = state.parameters[ENTRANCE], state.originals[ENTRANCE]
        assert (edited - before).abs().max() > 1e-2, "the positive control"
        assert torch.allclose(loaded.transformer.context_embedder.base_layer.weight, edited, atol=1e-5)


def test_a_concept_is_found_in_the_text_and_not_in_the_template(pipeline: Any) -> None:
    said = [Wording("a cat", (2, 5)), Wording("", (0, 0)), Wording("cat", (0, 3)), Wording("user", (0, 4))]
    encoded = encode(pipeline, said)
    (reader,) = family_of(pipeline).tokenizers(pipeline, 0)
    tokens = reader([wording.text for wording in said])["input_ids"]
    read = [pipeline.tokenizer.decode(ids[slice(*span)]) for ids, span in zip(tokens, encoded.spans, strict=True)]
    assert read == [" cat", "", "cat", "user"]
    assert encoded.lengths.tolist() == [len(ids) for ids in tokens]


def test_names_are_told_apart_by_capitals_and_words_found_within_a_text(pipeline: Any) -> None:
    assert spellings(pipeline, ["cat"]) == ("cat", "Cat", "CAT")
    assert {"cat", "background"} < set(words(pipeline.tokenizer))
    assert not any(word.startswith("Ġ") for word in words(pipeline.tokenizer))


def test_another_template_is_another_way_of_reading(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = copy.copy(pipeline.tokenizer)
    other.chat_template = tiny_families.CHAT.replace("user", "person") + " "
    before = encoder_digests(pipeline)
    monkeypatch.setattr(pipeline, "tokenizer", other)
    after = encoder_digests(pipeline)
    assert {name for name in before if before[name] != after[name]} == {"tokenizer.config"}


def test_what_the_template_changes_is_refused(pipeline: Any) -> None:
    other = copy.copy(pipeline.tokenizer)
    other.chat_template = tiny_families.CHAT.replace("message.content", "message.content | trim")
    read = Chat.of(other, 512)
    assert read(["a cat"])
    with pytest.raises(ConceptError, match="template changes ' cat '"):
        read([" cat "])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chat_template": None}, "no chat template"),
        ({"padding_side": "left"}, "padding_side to 'right'"),
    ],
)
def test_what_cannot_be_read_soundly_is_refused(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], reason: str
) -> None:
    other = copy.copy(pipeline.tokenizer)
    for name, value in change.items():
        setattr(other, name, value)
    monkeypatch.setattr(pipeline, "tokenizer", other)
    with pytest.raises(UnknownArchitecture, match=reason):
        plan(pipeline, SPEC)


def test_a_missing_encoder_is_refused() -> None:
    pipeline = tiny_families.flux2_klein()
    pipeline.text_encoder = None
    with pytest.raises(UnknownArchitecture, match="encoder is missing"):
        plan(pipeline, SPEC)


def test_it_is_known_by_its_class(pipeline: Any) -> None:
    assert family_of(pipeline).name == "flux-2-klein"
    assert family_of(tiny.pipeline()).name != "flux-2-klein"
