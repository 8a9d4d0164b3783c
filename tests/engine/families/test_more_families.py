"""The further families and Stable Diffusion 2, on real classes: they embed what pipelines feed and edit text alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from expunge.engine.editors import EDITORS, scapre
from expunge.engine.editors.mace import surrounding
from expunge.engine.editors.uce import UceSettings
from expunge.engine.errors import EditError, UnknownArchitecture
from expunge.engine.families import aura_flow, cogvideox, cogview3, family_of, flux, ltx, projections, sd3, wan
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.models.denoising import denoiser
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate, noise_seed
from expunge.engine.planning.closed_form import plan
from expunge.engine.planning.concept_embeddings import gather
from expunge.engine.planning.text_streams import beside
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.edit_plan import applied, apply, undo
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoding import encode, states
from tests.engine import tiny
from tests.engine.digests import digests
from tests.engine.families import tiny_families
from tests.engine.families.tiny_families import BUILDERS
from tests.engine.plans.rounding import of_weights


def heard(pipeline: Any, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """Of LTX, without the padding that no attention hears, and which is what."""
    fed, mask, *_ = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)
    return fed * mask[..., None], mask.float()


def silent(pipeline: Any, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """Of AuraFlow, whose padding is zeros; what it makes of the mask is of another shape than it asks for."""
    fed = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)[0]
    return fed, fed.any(-1).float()


OWN = {  # what the pipeline makes of prompts by itself: the states of their tokens, and of them as a whole
    "sd2": lambda pipeline, prompts: pipeline.encode_prompt(prompts, "cpu", 1, False)[:1],
    "sdxl": lambda pipeline, prompts: pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)[::2],
    "sd3": lambda pipeline, prompts: pipeline.encode_prompt(prompts, None, None, do_classifier_free_guidance=False)[
        ::2
    ],
    "flux": lambda pipeline, prompts: pipeline.encode_prompt(prompts)[:2],
    "unet3d": lambda pipeline, prompts: pipeline.encode_prompt(prompts, "cpu", 1, False)[:1],
    "animatediff": lambda pipeline, prompts: pipeline.encode_prompt(prompts, "cpu", 1, False)[:1],
    "wan": lambda pipeline, prompts: pipeline.encode_prompt(prompts, max_sequence_length=512)[:1],
    "ltx": heard,
    "ltx-condition": heard,
    "cogvideox": lambda pipeline, prompts: pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)[:1],
    "cogview3-plus": lambda pipeline, prompts: pipeline.encode_prompt(prompts, None, False)[:1],
    "aura-flow": silent,
}
MASKED = {"ltx", "ltx-condition"}  # whose padding enters, and is heard by no attention
ASKED_WITH_A_MASK = {*MASKED, "aura-flow"}
PROMPTS = ["a picture of a cat", "", "a dog in the garden!", "cat"]
CONCEPTS = {
    "targets": (Target("cat", ("cat",)), Target("noto", ("noto",), "style", anchor="picture")),
    "retain": (Retain("dog", ("dog",)), Retain("tree", ("tree",), kind="general")),
}
SPECS = [EditSpec(**CONCEPTS, editor="uce"), EditSpec(**CONCEPTS, editor="scapre", settings={"general_words": 10})]
ALL_OR_NOTHING = EditSpec(
    (Target("cat", ("cat",), anchor="dog"),),
    settings={"strength": 1e5, "retain": 0.0, "general": 0.0, "ridge": 1e-6, "bare": True, "general_words": 0},
)
SHOTS = [Shot("a cat", 0), Shot("a dog", 1)]
SAMPLER = Sampler(steps=2, batch=2)


@pytest.fixture(scope="module", params=BUILDERS)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def built(family: str) -> Any:
    return BUILDERS[family]()


def drawn(pipeline: Any) -> np.ndarray:
    return np.stack([picture for _, picture in generate(pipeline, SHOTS, SAMPLER)])


@torch.no_grad()
def test_the_states_are_what_the_pipeline_itself_feeds(family: str, pipeline: Any) -> None:
    kind = family_of(pipeline)
    fed_by = [states(pipeline, PROMPTS, stream) for stream in range(kind.streams)]
    found, own = kind.arguments(pipeline, fed_by), OWN[family](pipeline, PROMPTS)
    second = "prompt_attention_mask" if family in ASKED_WITH_A_MASK else "pooled_prompt_embeds"
    assert list(found) == ["prompt_embeds", second][: len(own)]
    for fed, expected in zip((each.float() for each in found.values()), own, strict=True):
        assert fed.shape == expected.shape
        assert (fed - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_each_projection_is_fed_by_its_streams_and_by_nothing_else(family: str, pipeline: Any) -> None:
    """Hooked while the pipeline draws by itself: all that reaches a projection is a text state or nothing, or padding
    that is masked."""
    seen, hooks = {}, []
    for projection in projections(pipeline):
        component, _, name = projection.name.removesuffix(".weight").partition(".")
        module = pipeline.components[component].get_submodule(name)
        assert module.weight is projection.weight
        hooks.append(module.register_forward_pre_hook(lambda m, x, p=projection: seen.update({p.name: x[0]})))
    latents(pipeline, "a cat", guidance=2.0)
    for hook in hooks:
        hook.remove()
    for projection in projections(pipeline):
        said = [encode(pipeline, ["a cat", ""], stream).embeddings.flatten(0, 1) for stream in projection.streams]
        if family in MASKED:
            said += [pipeline.encode_prompt(prompt)[0].flatten(0, 1) for prompt in ("a cat", "")]
        known = torch.cat([*said, torch.zeros_like(said[0][:1])])
        rows = seen[projection.name].flatten(0, -2)[:, : projection.columns]
        distance = torch.cdist(rows, known, compute_mode="donot_use_mm_for_euclid_dist")
        assert distance.amin(1).max() < 1e-4


def test_what_a_family_edits_is_in_the_denoisers_that_it_declares(pipeline: Any) -> None:
    """Of these a folder's files are held to what an edit can be written in and reaches."""
    assert {p.name.partition(".")[0] for p in projections(pipeline)} == set(family_of(pipeline).denoisers)
    assert denoiser(pipeline) is pipeline.components[family_of(pipeline).denoisers[0]]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.editor)
def test_plan_apply_undo(family: str, pipeline: Any, spec: EditSpec) -> None:
    before, names = digests(pipeline), {p.name for p in projections(pipeline)}
    made = plan(pipeline, spec)
    assert digests(pipeline) == before
    assert set(made.deltas) == names
    state = apply(pipeline, made)
    after = digests(pipeline)
    undo(pipeline, state)
    assert digests(pipeline) == before
    assert {name for name in before if after[name] != before[name]} == names
    assert all(error < 1e-7 for error in of_weights(state.rounding, made, state.originals))
    assert all(kept["residual"] < 1 for kept in made.diagnostics.values())


@pytest.fixture
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A T5 is asked to read fewer, where it matters not how many."""
    for family, name in (
        (aura_flow, "T5_TOKENS"),
        (cogvideox, "T5_TOKENS"),
        (cogview3, "T5_TOKENS"),
        (flux, "T5_TOKENS"),
        (ltx, "T5_TOKENS"),
        (ltx, "LATER_TOKENS"),
        (sd3, "T5_TOKENS"),
        (wan, "T5_TOKENS"),
    ):
        monkeypatch.setattr(family, name, 64)


@pytest.mark.parametrize("editor", EDITORS)
@pytest.mark.usefixtures("few_tokens")
def test_every_editor_plans_on_it(pipeline: Any, editor: str) -> None:
    words = {"general_words": 10} if editor != "scapre-released" else {}
    made = plan(pipeline, EditSpec(**CONCEPTS, editor=editor, settings=words))
    values, every = ({p.name for p in projections(pipeline) if p.kind in own} for own in (("value",), ("key", "value")))
    pooled = {name for name in every if editor == "mace-cfr" and ("add_embedding" in name or "time_text_embed" in name)}
    assert values - pooled <= set(made.deltas) <= every - pooled
    assert any(delta.any() for delta in made.deltas.values())


@pytest.mark.usefixtures("few_tokens")
def test_a_target_is_one_however_many_encoders_read_it(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two targets and one of them being many, the vocabulary weighs twice as much."""
    held = replace(SPECS[1], settings={"general_words": 10, "general": 5.0})
    twice = plan(pipeline, replace(held, settings={**held.settings, "general": 10.0}))
    assert tensor_digest(plan(pipeline, held).deltas) != tensor_digest(twice.deltas)
    monkeypatch.setattr(scapre, "MANY", 1)
    assert tensor_digest(plan(pipeline, held).deltas) == tensor_digest(twice.deltas)


def test_pictures_before_and_after(pipeline: Any) -> None:
    before = drawn(pipeline)
    assert before.dtype == np.uint8
    assert before.shape[0] == 2
    assert before.shape[-1] == 3
    with applied(pipeline, plan(pipeline, SPECS[0])):
        assert (drawn(pipeline)[0] != before[0]).any()
    assert (drawn(pipeline) == before).all()


def test_pictures_are_those_of_the_pipeline_asked_by_prompt(pipeline: Any) -> None:
    kind, generator = family_of(pipeline), torch.Generator().manual_seed(noise_seed(SHOTS[0], SAMPLER))
    how = {"num_inference_steps": SAMPLER.steps, "guidance_scale": SAMPLER.guidance, "output_type": "np"}
    output = pipeline(prompt=SHOTS[0].prompt, generator=generator, **how, **kind.options)
    assert abs(drawn(pipeline)[0] - kind.pictures(output)[0] * 255).max() <= 1


@torch.no_grad()
@pytest.mark.parametrize("name", ["sd2", "sdxl", "sd3", "cogview3-plus", "aura-flow"])
def test_the_denoiser_is_asked_as_the_pipeline_asks_it(name: str) -> None:
    """What attacks predict is what the first step of drawing does, here where latents are pictures to the denoiser."""
    pipeline, calls = BUILDERS[name](), []
    kind: Any = family_of(pipeline)
    hook = denoiser(pipeline).register_forward_hook(lambda _, *call: calls.append(call), with_kwargs=True)
    latents(pipeline, "a cat")
    hook.remove()
    args, by_name, (expected, *_) = calls[0]
    noisy, times = args[0] if args else by_name["hidden_states"], pipeline.scheduler.timesteps[:1]
    fed = kind.arguments(pipeline, [states(pipeline, ["a cat"], stream) for stream in range(kind.streams)])
    torch.testing.assert_close(kind.predict(pipeline, noisy, times, fed), expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(kind.predict(pipeline, noisy, times // 2, fed), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_solved_wide_and_written_in_its_own_type(built: Any, dtype: torch.dtype) -> None:
    """The change is that of the same weights in float64, read by the same encoders in half precision."""
    half = copy.deepcopy(built).to(dtype)
    before = digests(half)
    made = plan(half, SPECS[0])
    assert all(delta.dtype == torch.float32 for delta in made.deltas.values())
    wide = copy.deepcopy(half)
    for component in {name.partition(".")[0] for name in made.deltas}:
        getattr(wide, component).double()
    for name, wanted in plan(wide, SPECS[0]).deltas.items():
        assert (made.deltas[name] - wanted).norm() <= 1e-6 * wanted.norm()
    state = apply(half, made)
    assert {p.weight.dtype for p in projections(half)} == {dtype}
    assert all(0 < error < torch.finfo(dtype).eps for error in of_weights(state.rounding, made, state.originals))
    undo(half, state)
    assert digests(half) == before


def test_a_folder_is_opened_edited_and_opened_again(pipeline: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "base")
    made = plan(open_model(tmp_path / "base"), SPECS[0])
    assert made.base == plan(pipeline, SPECS[0]).base
    write_edited(tmp_path / "base", made, tmp_path / "edited")
    with applied(pipeline, made):
        assert digests(open_model(tmp_path / "edited")) == digests(pipeline)


def test_a_target_becomes_its_anchor_and_no_entrance_can_be_left_out(pipeline: Any) -> None:
    """Without anything to keep, the closed form meets every token: the pictures are those of the anchor.

    Drawn in float64, for what float32 rounds off differs between machines and can be more than the edit leaves.
    """
    pipeline = copy.deepcopy(pipeline).to(torch.float64)
    made = plan(pipeline, ALL_OR_NOTHING)
    target, anchor = latents(pipeline, "cat"), latents(pipeline, "dog")

    def left(deltas: Mapping[str, Tensor]) -> float:
        with applied(pipeline, replace(made, deltas=deltas)):
            return ((latents(pipeline, "cat") - anchor).norm() / (target - anchor).norm()).item()

    assert (whole := left(made.deltas)) < 1e-3
    for name in made.deltas:
        if "attn2" not in name:
            assert left({other: delta for other, delta in made.deltas.items() if other != name}) > 20 * whole


def latents(pipeline: Any, prompt: str, guidance: float = 1.0) -> Tensor:
    """What the pipeline draws of a prompt that it encodes by itself."""
    how = {"generator": torch.Generator().manual_seed(0), "num_inference_steps": 3, "output_type": "latent"}
    output = pipeline(prompt=prompt, guidance_scale=guidance, **how, **family_of(pipeline).options)
    return torch.as_tensor(next(iter(output.values()))).double()


def test_an_unknown_pipeline_is_refused_with_all_the_known() -> None:
    with pytest.raises(UnknownArchitecture) as caught:
        projections(object())
    assert all(type(build()).__name__ in str(caught.value) for build in BUILDERS.values())


@pytest.mark.parametrize("editor", [name for name in EDITORS if name != "mace-cfr"])
def test_sizes_keep_their_columns_in_stable_diffusion_xl(editor: str) -> None:
    """`mace-cfr` changes the surroundings of a target's token, of which a pooled vector has none."""
    pipeline = tiny_families.sdxl()
    entrance = pipeline.unet.add_embedding.linear_1.weight
    before = entrance.detach().clone()
    turned = {"geometry": 1.0} if editor == "scapre" else {}
    with applied(pipeline, plan(pipeline, EditSpec(**CONCEPTS, editor=editor, settings=turned))):
        assert torch.equal(entrance[:, tiny_families.POOLED :], before[:, tiny_families.POOLED :])
        assert not torch.equal(entrance[:, : tiny_families.POOLED], before[:, : tiny_families.POOLED])


def test_where_two_streams_feed_a_matrix_each_target_weighs_1_in_each() -> None:
    pipeline = tiny_families.sd3()
    streams = [gather(pipeline, SPECS[0], UceSettings(general_words=0), stream) for stream in (0, 1)]
    joint = beside(*streams)
    assert [one.subject_weights().sum().item() for one in (*streams, joint)] == [2.0, 2.0, 4.0]
    apart = [surrounding(one).gram for one in streams]
    assert torch.allclose(surrounding(joint).gram, apart[0] + apart[1], rtol=1e-12)


def test_an_editor_that_is_left_nothing_to_edit_says_so() -> None:
    spec = EditSpec(**CONCEPTS, editor="speed", settings={"params": "key", "general_words": 10})
    with pytest.raises(EditError, match=r"context_embedder.*with these settings"):
        plan(tiny_families.flux(), spec)


def test_frames_attend_to_each_other_without_text() -> None:
    for build in (tiny_families.unet3d, tiny_families.animatediff):
        pipeline = build()
        names = {p.name for p in projections(pipeline)}
        others = {name for name, _ in pipeline.unet.named_parameters(prefix="unet") if "attn2.to_k" in name} - names
        assert names
        assert others
        assert all("temp" in name or "motion" in name or "transformer_in" in name for name in others)


def other_tokens(pipeline: Any) -> None:
    pipeline.tokenizer_2.add_tokens(["<mark>"])


def without(name: str) -> Callable[[Any], None]:
    return lambda pipeline: setattr(pipeline, name, None)


def other_embedder(pipeline: Any) -> None:
    pipeline.transformer.context_embedder = nn.Sequential(nn.Linear(1, 1))


def no_embedder(pipeline: Any) -> None:
    del pipeline.transformer.context_embedder


def other_unet(pipeline: Any) -> None:
    pipeline.unet = tiny_families.sdxl().unet


def plain_unet(pipeline: Any) -> None:
    pipeline.unet = tiny.pipeline().unet


@pytest.mark.parametrize(
    ("family", "damage", "reason"),
    [
        ("sdxl", other_tokens, "tokenizers differ"),
        ("sdxl", without("text_encoder"), "encoder is missing"),
        ("sdxl", plain_unet, "text_time"),
        ("sd2", without("text_encoder"), "encoder is missing"),
        ("animatediff", without("text_encoder"), "encoder is missing"),
        ("wan", without("text_encoder"), "encoder is missing"),
        ("ltx", without("text_encoder"), "encoder is missing"),
        ("cogvideox", without("text_encoder"), "encoder is missing"),
        ("aura-flow", no_embedder, "no transformer.context_embedder"),
        ("sd3", without("text_encoder_3"), "T5 encoder is missing"),
        ("sd3", other_embedder, "context_embedder is a Sequential"),
        ("flux", no_embedder, "no transformer.context_embedder"),
        ("flux", without("text_encoder_2"), "encoder is missing"),
        ("unet3d", other_unet, "UNet2DConditionModel"),
    ],
)
def test_what_cannot_be_edited_soundly_is_refused(family: str, damage: Callable[[Any], None], reason: str) -> None:
    pipeline = BUILDERS[family]()
    damage(pipeline)
    with pytest.raises(UnknownArchitecture, match=reason):
        plan(pipeline, SPECS[0])
