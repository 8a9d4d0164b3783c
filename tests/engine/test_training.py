"""Editors that train: the loss falls, only what may change changes, and their plans are applied and undone like any."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from engine.deltas import EditPlan, applied, apply, undo
from engine.denoising import predicted
from engine.errors import ConceptError, DigestMismatch, EditError, SettingError, UnknownArchitecture
from engine.model import tensor_digest
from engine.spec import EditSpec, Retain, Target
from engine.training import train
from engine.training.base import Step
from engine.training.denoiser import ddim, in_pairs, noise_like_latents, read, take, unconditional, walk
from engine.training.esd import away
from tests.engine import tiny, tiny_families

TARGETS = (Target("cat", ("cat",)), Target("car", ("car",), anchor="boat"))
RETAIN = (Retain("dog", ("dog",)), Retain("tree", ("tree",), kind="general"))
ESD = EditSpec(TARGETS, RETAIN, "esd", {"iterations": 40, "steps": 4, "rate": 3e-3, "batch": 2})
SALUN = EditSpec(
    TARGETS, RETAIN, "salun", {"pictures": 8, "steps": 4, "epochs": 10, "rate": 1e-3, "batch": 4, "beta": 1e-4}
)


def listening(seed: int = 0) -> Any:
    """The tiny model, made to heed its prompt as a trained one does; at random weights it hardly would."""
    pipeline = tiny.pipeline(seed)
    with torch.no_grad():
        for name, weight in pipeline.unet.named_parameters():
            if name.endswith("attn2.to_out.0.weight"):
                weight *= 10
    return pipeline


def digests(pipeline: Any) -> dict[str, str]:
    parts = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder, "vae": pipeline.vae}
    return {f"{p}.{n}": tensor_digest({n: w}) for p, module in parts.items() for n, w in module.state_dict().items()}


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[EditPlan, list[float]]]:
    """The plan and the losses of each editor, on one model."""
    made = {}
    for spec in (ESD, SALUN):
        losses: list[float] = []
        made[spec.editor] = train(listening(), spec, partial(_noted, losses)), losses
    return made


def _noted(losses: list[float], step: Step) -> None:
    if step.loss is not None:
        losses.append(step.loss)


@pytest.mark.parametrize("editor", ["esd", "salun"])
def test_the_loss_falls(trained: dict[str, tuple[EditPlan, list[float]]], editor: str) -> None:
    _, losses = trained[editor]
    quarter = len(losses) // 4
    assert sum(losses[-quarter:]) < 0.7 * sum(losses[:quarter])


@pytest.mark.parametrize("editor", ["esd", "salun"])
def test_the_plan_is_applied_and_undone_to_the_bit(
    trained: dict[str, tuple[EditPlan, list[float]]], editor: str, tmp_path: Any
) -> None:
    plan, _ = trained[editor]
    plan.save(tmp_path / "plan.safetensors")
    pipeline = listening()
    before = digests(pipeline)
    state = apply(pipeline, EditPlan.load(tmp_path / "plan.safetensors"))
    after = digests(pipeline)
    assert {name for name in before if before[name] != after[name]} == set(plan.deltas)
    undo(pipeline, state)
    assert digests(pipeline) == before
    with pytest.raises(DigestMismatch):
        apply(listening(seed=1), plan)


def test_a_base_that_differs_where_only_training_reaches_is_refused(
    trained: dict[str, tuple[EditPlan, list[float]]],
) -> None:
    pipeline = listening()
    name = next(name for name in trained["esd"][0].deltas if name.endswith("to_q.weight"))
    with torch.no_grad():
        pipeline.unet.get_parameter(name.removeprefix("unet.")).add_(1e-3)
    with pytest.raises(DigestMismatch, match="untouched base"):
        apply(pipeline, trained["esd"][0])


@pytest.mark.parametrize("spec", [ESD, SALUN], ids=["esd", "salun"])
def test_training_leaves_the_pipeline_as_it_was_and_is_the_same_twice(
    spec: EditSpec, trained: dict[str, tuple[EditPlan, list[float]]]
) -> None:
    pipeline = listening()
    before = digests(pipeline)
    again = train(pipeline, spec)
    assert digests(pipeline) == before
    assert again.digest == trained[spec.editor][0].digest
    assert not any(parameter.grad is not None for parameter in pipeline.unet.parameters())


def test_esd_changes_cross_attention_alone_and_all_of_it(trained: dict[str, tuple[EditPlan, list[float]]]) -> None:
    attention = {f"unet.{name}" for name, _ in listening().unet.named_parameters() if ".attn2." in name}
    assert set(trained["esd"][0].deltas) == attention
    assert any(name.endswith("to_out.0.bias") for name in attention)


def test_salun_changes_at_most_the_masks_share_of_weights(trained: dict[str, tuple[EditPlan, list[float]]]) -> None:
    total = sum(parameter.numel() for parameter in listening().unet.parameters())
    changed = sum(int((delta != 0).sum()) for delta in trained["salun"][0].deltas.values())
    assert 0.4 * total < changed <= 0.5 * total + 1
    everywhere = train(listening(), _with(SALUN, share=1.0, epochs=2))
    assert sum(int((delta != 0).sum()) for delta in everywhere.deltas.values()) > 0.9 * total  # the control
    narrow = train(listening(), _with(SALUN, epochs=2, parameters="cross-attention"))
    assert all(".attn2." in name for name in narrow.deltas)


def test_esd_denoises_its_targets_away_from_them(
    trained: dict[str, tuple[EditPlan, list[float]]],
) -> None:
    """Distance to the aim e*(x) - eta (e*(x, c) - e*(x)), before and after."""
    pipeline = listening()
    for name in ("cat", "car"):
        conditions = read(pipeline, ["", name])
        said, nothing = take(conditions, [1] * 8), take(conditions, [0] * 8)
        noisy = noise_like_latents(pipeline.unet, 8, torch.Generator().manual_seed(5))
        time = ddim(pipeline, 4).timesteps[0]
        aim = away(pipeline, noisy, time, said, nothing, 1.0)
        with torch.no_grad():
            before = (predicted(pipeline, noisy, time, said) - aim).square().mean()
            with applied(pipeline, trained["esd"][0]):
                after = (predicted(pipeline, noisy, time, said) - aim).square().mean()
        assert after < 0.3 * before


def test_without_training_there_is_nothing_in_the_plan() -> None:
    assert not train(listening(), _with(ESD, iterations=0)).deltas


def test_velocity_prediction_and_stable_diffusion_xl_are_trained_too() -> None:
    velocity = listening()
    velocity.scheduler.register_to_config(prediction_type="v_prediction")
    for pipeline in (velocity, tiny_families.sdxl()):
        for spec in (_with(ESD, iterations=2), _with(SALUN, epochs=1)):
            plan = train(pipeline, spec)
            with applied(pipeline, plan) as state:
                assert state.originals.keys() == plan.deltas.keys()
                assert plan.deltas


def test_a_walk_is_the_pipelines_own_where_nothing_is_said_by_zeros_too() -> None:
    for pipeline in (listening(), tiny_families.sdxl()):
        pipeline.scheduler = ddim(pipeline, 3)
        noise = noise_like_latents(pipeline.unet, 1, torch.Generator().manual_seed(0))
        ours = walk(pipeline, pipeline.scheduler, read(pipeline, ["a cat"]), unconditional(pipeline, 1), noise, 5.0)
        how = {"num_inference_steps": 3, "guidance_scale": 5.0, "latents": noise, "output_type": "latent"}
        assert torch.allclose(ours, pipeline("a cat", **how).images, rtol=1e-4, atol=1e-5)


def test_one_pass_over_both_predicts_of_each_what_it_does_alone() -> None:
    for pipeline in (listening(), tiny_families.sdxl()):
        told = read(pipeline, ["", "a cat", "a car"])
        one, other = take(told, [0, 0]), take(told, [1, 2])
        noisy = noise_like_latents(pipeline.unet, 2, torch.Generator().manual_seed(0))
        with torch.no_grad():
            both = in_pairs(pipeline, noisy, torch.tensor(700), one, other)
            alone = [predicted(pipeline, noisy, torch.tensor(700), said) for said in (one, other)]
        assert all(torch.allclose(*pair, rtol=1e-4, atol=1e-5) for pair in zip(both, alone, strict=True))
        assert not torch.allclose(both[0], both[1], rtol=1e-2)


def test_a_half_precision_model_is_trained_in_float32() -> None:
    half = listening().to(torch.bfloat16)
    before = digests(half)
    plan = train(half, _with(ESD, iterations=2))
    assert all(delta.dtype == torch.float32 for delta in plan.deltas.values())
    state = apply(half, plan)
    assert all(0 < error < 4e-3 for error in state.rounding.values())
    undo(half, state)
    assert digests(half) == before


def test_what_cannot_be_trained_is_refused() -> None:
    pipeline = listening()
    with pytest.raises(SettingError, match=r"esd has no setting 'eata'.*eta"):
        train(pipeline, _with(ESD, eata=1.0))
    with pytest.raises(SettingError, match="does not train"):
        train(pipeline, EditSpec(TARGETS, editor="uce"))
    with pytest.raises(SettingError, match="share"):
        train(pipeline, _with(SALUN, share=0.0))
    with pytest.raises(SettingError, match="one batch"):
        train(pipeline, _with(SALUN, pictures=2))
    with pytest.raises(SettingError, match="one a target at least, 2"):
        train(pipeline, _with(SALUN, pictures=1, batch=1))
    with pytest.raises(ConceptError, match="no target"):
        train(pipeline, EditSpec((), editor="esd"))
    with pytest.raises(UnknownArchitecture, match=r"flux .*known: stable-diffusion"):
        train(tiny_families.flux(), ESD)
    with pytest.raises(EditError, match="lower the rate"):
        train(pipeline, _with(ESD, rate=1e30, iterations=5))


def _with(spec: EditSpec, **settings: Any) -> EditSpec:
    return EditSpec(spec.targets, spec.retain, spec.editor, {**spec.settings, **settings})
