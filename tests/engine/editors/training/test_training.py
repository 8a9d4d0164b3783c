"""Editors that train: the loss falls, only what may change changes, and their plans are applied and undone like any."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline, StableDiffusionInpaintPipeline

from expunge.engine.editors.training import train
from expunge.engine.editors.training.denoiser import ddim, noise_like_latents
from expunge.engine.errors import ConceptError, DigestMismatch, EditError, SettingError, UnknownArchitecture
from expunge.engine.families import projections
from expunge.engine.plans.edit_plan import EditPlan, applied, apply, undo
from expunge.engine.spec import EditSpec
from tests.engine import tiny
from tests.engine.digests import digests
from tests.engine.editors.training.trainees import ESD, SALUN, TARGETS, answer, listening, noted, varied
from tests.engine.families import tiny_families
from tests.engine.plans.rounding import of_weights


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[EditPlan, list[float]]]:
    """The plan and the losses of each editor, on one model."""
    made = {}
    for spec in (ESD, SALUN):
        losses: list[float] = []
        made[spec.editor] = train(listening(), spec, partial(noted, losses)), losses
    return made


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
    everywhere = train(listening(), varied(SALUN, share=1.0, epochs=2))
    assert sum(int((delta != 0).sum()) for delta in everywhere.deltas.values()) > 0.9 * total  # the control
    narrow = train(listening(), varied(SALUN, epochs=2, parameters="cross-attention"))
    assert narrow.deltas
    assert all(".attn2." in name for name in narrow.deltas)


def test_esd_denoises_its_targets_away_from_them(
    trained: dict[str, tuple[EditPlan, list[float]]],
) -> None:
    """Distance to the aim e*(x) - (e*(x, c) - e*(x)), before and after."""
    pipeline = listening()
    noisy = noise_like_latents(pipeline.unet, 8, torch.Generator().manual_seed(5))
    time = ddim(pipeline, 4).timesteps[0]
    for name in ("cat", "car"):
        told = answer(pipeline, noisy, time, name)
        aim = 2 * answer(pipeline, noisy, time, "") - told
        with applied(pipeline, trained["esd"][0]):
            after = answer(pipeline, noisy, time, name)
        assert (after - aim).square().mean() < 0.3 * (told - aim).square().mean()


@pytest.mark.parametrize("part", [False, True])
def test_a_trained_plan_of_a_compiled_model_is_one_of_the_plain_model(part: bool) -> None:
    """`torch.compile` renames all weights; nothing here is compiled before it is called."""
    compiled = listening()
    if part:
        compiled.unet.mid_block = torch.compile(compiled.unet.mid_block, backend="eager")
    else:
        compiled.unet = torch.compile(compiled.unet, backend="eager")
    plan = train(compiled, varied(ESD, iterations=1))
    assert plan.digest == train(listening(), varied(ESD, iterations=1)).digest
    for pipeline in (listening(), compiled):
        undo(pipeline, apply(pipeline, plan))


def test_without_training_there_is_nothing_in_the_plan() -> None:
    assert not train(listening(), varied(ESD, iterations=0)).deltas


def test_velocity_prediction_and_stable_diffusion_xl_are_trained_too() -> None:
    velocity = listening()
    velocity.scheduler.register_to_config(prediction_type="v_prediction")
    for pipeline in (velocity, tiny_families.sdxl()):
        for spec in (varied(ESD, iterations=2), varied(SALUN, epochs=1)):
            plan = train(pipeline, spec)
            with applied(pipeline, plan) as state:
                assert state.originals.keys() == plan.deltas.keys()
                assert plan.deltas


def test_a_half_precision_model_is_trained_in_float32() -> None:
    half = listening().to(torch.bfloat16)
    before = digests(half)
    plan = train(half, varied(ESD, iterations=2))
    assert plan.deltas
    assert all(delta.dtype == torch.float32 for delta in plan.deltas.values())
    state = apply(half, plan)
    assert all(0 < error < 4e-3 for error in of_weights(state.rounding, plan, state.originals))
    undo(half, state)
    assert digests(half) == before


def test_what_cannot_be_trained_is_refused() -> None:
    pipeline = listening()
    with pytest.raises(SettingError, match=r"esd has no setting 'eata'.*eta"):
        train(pipeline, varied(ESD, eata=1.0))
    with pytest.raises(SettingError, match="does not train"):
        train(pipeline, EditSpec(TARGETS, editor="uce"))
    with pytest.raises(SettingError, match="share"):
        train(pipeline, varied(SALUN, share=0.0))
    with pytest.raises(SettingError, match="one batch"):
        train(pipeline, varied(SALUN, pictures=2))
    with pytest.raises(SettingError, match="one a target at least, 2"):
        train(pipeline, varied(SALUN, pictures=1, batch=1))
    with pytest.raises(ConceptError, match="no target"):
        train(pipeline, EditSpec((), editor="esd"))
    with pytest.raises(UnknownArchitecture, match=r"flux .*known: stable-diffusion"):
        train(tiny_families.flux(), ESD)
    with pytest.raises(EditError, match="lower the rate"):
        train(pipeline, varied(ESD, rate=1e30, iterations=5))


@pytest.mark.parametrize(
    ("kind", "setting", "reason"),
    [
        (StableDiffusionInpaintPipeline, {"in_channels": 9}, r"takes 9 channels for 4 .*; choose an editor in closed"),
        (LatentConsistencyModelPipeline, {"time_cond_proj_dim": 8}, r"told of its guidance \(time_cond_proj_dim\)"),
    ],
)
def test_a_denoiser_that_is_told_more_than_text_is_edited_in_closed_form_and_not_trained(
    kind: Any, setting: dict[str, Any], reason: str
) -> None:
    further = kind.from_pipe(tiny.pipeline())
    further.unet = tiny.unet(**setting)
    with pytest.raises(UnknownArchitecture, match=reason):
        train(further, varied(ESD, iterations=1))
    assert projections(further)
