"""FLUX.2 klein, Z-Image and Qwen-Image on their real classes, whose text is what a user says to a chat model.

The first's encoder is deep, so each test asks for few prompts: a plan without templates, and names in one spelling.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from expunge.engine.editors import EDITORS
from expunge.engine.errors import ConceptError, DigestMismatch, EditError, UnknownArchitecture
from expunge.engine.families import family_of, projections
from expunge.engine.families.base import part_of
from expunge.engine.families.chat_template import Chat
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate, noise_seed
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.edit_plan import applied, apply, undo
from expunge.engine.plans.lora import lora_of
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoder_digest import encoder_digests
from expunge.engine.text.encoding import encode, encode_prompts
from expunge.engine.text.templates import Wording
from expunge.engine.text.typed_forms import spellings
from expunge.engine.text.vocabulary import words
from tests.engine import tiny
from tests.engine.digests import digests
from tests.engine.families import tiny_families

BUILDERS: dict[str, Callable[[], Any]] = {
    "flux-2-klein": tiny_families.flux2_klein,
    "z-image": tiny_families.z_image,
    "qwen-image": tiny_families.qwen_image,
}
ENTRANCES = {
    "flux-2-klein": "transformer.context_embedder",
    "z-image": "transformer.cap_embedder.1",
    "qwen-image": "transformer.txt_in",
}
NORMS = {"z-image": "transformer.cap_embedder.0", "qwen-image": "transformer.txt_norm"}
GUIDED = {  # with guidance 2, where 1 is none
    "flux-2-klein": {"guidance_scale": 2.0},
    "z-image": {"guidance_scale": 1.0},
    "qwen-image": {"true_cfg_scale": 2.0},
}
AWAY_FROM = {"flux-2-klein": "", "z-image": "", "qwen-image": " "}
SPEC = EditSpec(
    (Target("cat", ("cat",), anchor="dog"),),
    settings={"strength": 1e9, "retain": 0.0, "general": 0.0, "ridge": 1e-6, "bare": True, "general_words": 0},
)


@pytest.fixture(scope="module", params=BUILDERS)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pipeline(family: str) -> Any:
    return BUILDERS[family]()


@pytest.fixture(scope="module")
def entrance(family: str) -> str:
    return f"{ENTRANCES[family]}.weight"


@pytest.fixture(scope="module")
def made(pipeline: Any) -> Any:
    return plan(pipeline, SPEC)


@torch.no_grad()
def test_the_states_are_what_the_pipeline_itself_feeds(family: str, pipeline: Any) -> None:
    prompts = ["a picture of a cat", "", "a Dog in the garden!"]
    fed = family_of(pipeline).handed(encode_prompts(pipeline, prompts, torch.device("cpu")))
    expected, away = (pipeline.encode_prompt(said)[0] for said in (list(prompts), [AWAY_FROM[family]]))
    for found, wanted in ((fed["prompt_embeds"], expected), (fed["negative_prompt_embeds"], [away[0]] * 3)):
        for one, other in zip(found, wanted, strict=True):
            assert one.shape == other.shape
            assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@torch.no_grad()
def test_the_entrance_is_fed_by_these_states_and_by_nothing_else(family: str, pipeline: Any, entrance: str) -> None:
    """Behind the norm, where there is one."""
    seen: list[Tensor] = []
    (projection,) = projections(pipeline)
    assert projection.name == entrance
    layer = part_of(pipeline, entrance.removesuffix(".weight"))
    hook = layer.register_forward_pre_hook(lambda m, x: seen.append(x[0].flatten(0, -2)))
    drawn(pipeline, "a cat", guidance=2.0)
    hook.remove()
    known = encode(pipeline, ["a cat", AWAY_FROM[family]]).embeddings.flatten(0, 1)
    distance = torch.cdist(torch.cat(seen), known, compute_mode="donot_use_mm_for_euclid_dist")
    assert distance.amin(1).max() < 1e-4
    assert distance.amin(0)[known.any(1)].max() < 1e-4


def test_two_prompts_at_once_are_drawn_as_one_after_the_other(family: str, pipeline: Any) -> None:
    """Of FLUX.2 klein the pipeline itself has one empty prompt for all states that it is given, which fits one picture
    only."""
    shots, sampler = [Shot("a cat", 0), Shot("a dog in the garden", 1)], Sampler(steps=2, batch=2)
    for shot, picture in generate(pipeline, shots, sampler):
        output = pipeline(
            prompt=shot.prompt,
            generator=torch.Generator().manual_seed(noise_seed(shot, sampler)),
            num_inference_steps=sampler.steps,
            output_type="np",
            **GUIDED[family],
            **negative(family),
        )
        assert np.abs(output.images[0] * 255 - picture).max() <= 1


def test_plan_apply_undo(pipeline: Any, made: Any, entrance: str) -> None:
    before = digests(pipeline)
    assert set(made.deltas) == {entrance}
    state = apply(pipeline, made)
    after = digests(pipeline)
    assert {name for name in before if after[name] != before[name]} == {entrance}
    undo(pipeline, state)
    assert digests(pipeline) == before


@pytest.mark.parametrize("editor", [name for name in EDITORS if name != "scapre"])
def test_every_editor_plans_on_it(pipeline: Any, entrance: str, editor: str) -> None:
    """The default as well, which all other tests are of."""
    few = {"general_words": 10} if editor != "scapre-released" else {}
    concepts = (Target("cat", ("cat",)),), (Retain("dog", ("dog",)),)
    edited = plan(pipeline, EditSpec(*concepts, editor=editor, settings=few))
    assert set(edited.deltas) == {entrance}
    assert edited.deltas[entrance].any()


def test_a_target_becomes_its_anchor(pipeline: Any) -> None:
    """In float64, for what float32 rounds off can be more than the edit leaves."""
    wide = copy.deepcopy(pipeline).to(torch.float64)
    target, anchor = (drawn(wide, prompt, 1.0) for prompt in ("cat", "dog"))
    with applied(wide, plan(wide, SPEC)):
        left = (drawn(wide, "cat", 1.0) - anchor).norm() / (target - anchor).norm()
    assert left < 1e-3


def drawn(pipeline: Any, prompt: str, guidance: float) -> Tensor:
    how = {"generator": torch.Generator().manual_seed(0), "num_inference_steps": 3, "output_type": "latent"}
    kind = family_of(pipeline)
    guided = {**kind.guided(guidance), **negative(kind.name)}
    return torch.as_tensor(pipeline(prompt=prompt, **guided, **how).images).double()


def negative(family: str) -> dict[str, str]:
    """What the pipeline has to be told to guide at all."""
    return {"negative_prompt": AWAY_FROM[family]} if AWAY_FROM[family] else {}


def test_a_folder_is_opened_edited_and_opened_again(pipeline: Any, made: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "base")
    opened = open_model(tmp_path / "base")
    assert encoder_digests(opened) == encoder_digests(pipeline)
    write_edited(tmp_path / "base", made, tmp_path / "edited")
    with applied(pipeline, made):
        assert digests(open_model(tmp_path / "edited")) == digests(pipeline)


def test_its_edit_is_a_lora_that_diffusers_loads(pipeline: Any, made: Any, entrance: str, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="load_lora_weights needs PEFT: pip install peft")
    lora_of(made).save(tmp_path / "lora.safetensors")
    loaded = copy.deepcopy(pipeline)
    loaded.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", local_files_only=True)
    loaded.fuse_lora(components=["transformer"])
    with applied(pipeline, made) as state:
        edited, before = state.parameters[entrance], state.originals[entrance]
        assert (edited - before).abs().max() > 1e-2, "the positive control"
        layer: Any = part_of(loaded, entrance.removesuffix(".weight"))
        assert torch.allclose(layer.base_layer.weight, edited, atol=1e-5)


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
    ("family", "attribute", "value", "reason"),
    [
        ("flux-2-klein", "chat_template", None, "no chat template"),
        *((family, "padding_side", "left", "padding_side to 'right'") for family in BUILDERS),
    ],
)
def test_what_cannot_be_read_soundly_is_refused(family: str, attribute: str, value: Any, reason: str) -> None:
    """The template of Qwen-Image is the pipeline's own."""
    pipeline = BUILDERS[family]()
    setattr(pipeline.tokenizer, attribute, value)
    with pytest.raises(UnknownArchitecture, match=reason):
        plan(pipeline, SPEC)


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_missing_encoder_is_refused(build: Callable[[], Any]) -> None:
    pipeline = build()
    pipeline.text_encoder = None
    with pytest.raises(UnknownArchitecture, match="encoder is missing"):
        plan(pipeline, SPEC)


@pytest.mark.parametrize(("family", "norm"), NORMS.items())
def test_another_norm_is_another_way_of_reading(family: str, norm: str) -> None:
    pipeline = BUILDERS[family]()
    before, made = encoder_digests(pipeline), plan(pipeline, SPEC)
    torch.nn.init.ones_(next(part_of(pipeline, norm).parameters()))
    after = encoder_digests(pipeline)
    assert {name for name in before if before[name] != after[name]} == {norm}
    with pytest.raises(DigestMismatch, match=norm):
        apply(pipeline, made)
    assert tensor_digest(plan(pipeline, SPEC).deltas) != tensor_digest(made.deltas)


@pytest.mark.parametrize(("family", "norm"), NORMS.items())
def test_a_norm_that_is_not_in_memory_is_told(family: str, norm: str) -> None:
    pipeline = BUILDERS[family]()
    part_of(pipeline, norm).to("meta")
    with pytest.raises(EditError, match=rf"{norm}.*plan before the model is offloaded"):
        plan(pipeline, SPEC)


def test_they_are_known_by_their_classes(family: str, pipeline: Any) -> None:
    assert family_of(pipeline).name == family
    assert family_of(tiny.pipeline()).name != family_of(pipeline).name
