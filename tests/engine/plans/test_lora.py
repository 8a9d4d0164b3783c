"""A LoRA made of an edit is that edit: its factors give the deltas, the real loader gives the weights of `apply`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from expunge.engine.errors import EditError, SettingError
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import EditPlan, applied, apply
from expunge.engine.plans.lora import Lora, lora_of
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine import tiny
from tests.engine.families import tiny_families

SPEC = EditSpec(
    (Target("cat", ("cat", "kitty")), Target("car", ("car",), anchor="boat")),
    (Retain("dog", ("dog",)),),
    editor="uce",
)
MIXED = replace(SPEC, editor="scapre", settings={"general_words": 10})
SHOTS = [Shot("a photo of a cat", 0), Shot("a dog", 1)]


@pytest.fixture(scope="module")
def made() -> EditPlan:
    return plan(tiny.pipeline(), SPEC)


def products(lora: Lora) -> dict[str, torch.Tensor]:
    return {f"{layer}.weight": lora.up[layer].double() @ lora.down[layer].double() for layer in lora.down}


def distance(lora: Lora, plan: EditPlan) -> float:
    own = products(lora)
    left = sum((own[name] - delta.double()).square().sum().item() for name, delta in plan.deltas.items())
    return (left / sum(delta.double().square().sum().item() for delta in plan.deltas.values())) ** 0.5


def test_as_many_directions_as_tokens_moved_hold_the_edit_exactly(made: EditPlan) -> None:
    lora = lora_of(made)
    assert set(lora.ranks.values()) == {3}  # cat, kitty and car, each by its last token
    assert distance(lora, made) < 1e-6
    assert lora.error < 1e-6


def test_fewer_directions_lose_what_is_stated_and_no_matrix_of_that_rank_loses_less(made: EditPlan) -> None:
    lora = lora_of(made, rank=1)
    assert set(lora.ranks.values()) == {1}
    assert lora.error == pytest.approx(distance(lora, made), rel=1e-4)
    assert lora.error > 0.05
    for layer, error in lora.errors.items():
        values = torch.linalg.svdvals(made.deltas[f"{layer}.weight"].double())
        assert error == pytest.approx((values[1:].norm() / values.norm()).item(), rel=1e-4)


def test_a_rank_beyond_need_adds_nothing(made: EditPlan) -> None:
    assert lora_of(made, rank=100).ranks == lora_of(made).ranks


def test_the_file_states_its_error_and_where_it_comes_from_and_is_the_same_twice(
    made: EditPlan, tmp_path: Path
) -> None:
    lora = lora_of(made, rank=2)
    for name in ("a", "b"):
        lora.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", "pt") as handle:
        told = json.loads(handle.metadata()["expunge"])
    assert (told["plan"], told["base"], told["error"]) == (made.digest, made.base, lora.error)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("layout", ["diffusers", "webui"])
def test_all_layers_of_a_file_have_one_rank_for_readers_that_look_at_one(layout: str) -> None:
    lora = lora_of(plan(tiny.pipeline(), MIXED))
    assert len(set(lora.ranks.values())) > 1
    tensors = lora.tensors(layout)
    down = [factor for name, factor in tensors.items() if "lora_A" in name or "lora_down" in name]
    up = [factor for name, factor in tensors.items() if "lora_B" in name or "lora_up" in name]
    assert len(down) == len(up) == len(lora.ranks)
    assert {len(factor) for factor in down} | {factor.shape[1] for factor in up} == {max(lora.ranks.values())}


def plain(name: str) -> str:
    """The layer's name, also where the loader writes it in its older way, `attn2.processor.to_k_lora.down.weight`."""
    return name.split(".lora_")[0].split("_lora.")[0].replace(".processor.", ".").replace("to_out", "to_out.0")


def test_the_loaders_own_reading_of_the_file_gives_back_the_deltas(made: EditPlan, tmp_path: Path) -> None:
    """Without PEFT: `lora_state_dict` is the part of `load_lora_weights` that reads names and scales."""
    for layout in ("diffusers", "webui"):
        lora_of(made).save(tmp_path / "lora.safetensors", layout)
        read: Any = StableDiffusionPipeline.lora_state_dict(str(tmp_path), weight_name="lora.safetensors")
        factors, scales = read
        down = {plain(name): factor for name, factor in factors.items() if "lora_A" in name or ".down." in name}
        up = {plain(name): factor for name, factor in factors.items() if "lora_B" in name or ".up." in name}
        assert {f"{layer}.weight" for layer in down} == set(made.deltas)
        for layer, factor in down.items():
            assert torch.allclose(up[layer] @ factor, made.deltas[f"{layer}.weight"], atol=1e-6)
        assert not scales or {float(scale) for scale in scales.values()} == {3.0}  # alpha = rank: strength 1


FAMILIES = {
    "sd": tiny.pipeline,
    "sdxl": tiny_families.sdxl,
    "sd3": tiny_families.sd3,
    "flux": tiny_families.flux,
    "animatediff": tiny_families.animatediff,
    "wan": tiny_families.wan_alone,
    "ltx": tiny_families.ltx,
    "cogvideox": tiny_families.cogvideox,
    "aura-flow": tiny_families.aura_flow,
}


def denoiser(pipeline: Any) -> Any:
    return pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer


def fused(pipeline: Any) -> dict[str, torch.Tensor]:
    pipeline.fuse_lora(components=["unet" if hasattr(pipeline, "unet") else "transformer"])
    weights = denoiser(pipeline).state_dict()
    return {name.replace(".base_layer", ""): value for name, value in weights.items() if ".lora_" not in name}


@pytest.mark.parametrize(
    ("family", "layout", "spec"),
    [
        *((family, "diffusers", SPEC) for family in FAMILIES),
        *((family, "webui", SPEC) for family in ("sd", "sdxl", "animatediff")),
        *((family, layout, MIXED) for family in ("sd", "sdxl", "animatediff") for layout in ("diffusers", "webui")),
    ],
    ids=lambda value: value.editor if isinstance(value, EditSpec) else value,
)
def test_loaded_by_load_lora_weights_the_model_has_the_weights_of_apply(
    family: str, layout: str, spec: EditSpec, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="load_lora_weights needs PEFT: pip install peft")
    theirs, ours = FAMILIES[family](), FAMILIES[family]()
    before = {name: value.clone() for name, value in denoiser(ours).state_dict().items()}
    edit = plan(ours, spec)
    lora = lora_of(edit)
    assert spec is SPEC or len(set(lora.ranks.values())) > 1
    lora.save(tmp_path / "lora.safetensors", layout)
    theirs.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", local_files_only=True)
    loaded = fused(theirs)
    apply(ours, edit)
    moved = 0.0
    for name, weight in denoiser(ours).state_dict().items():
        assert torch.allclose(loaded[name], weight, atol=1e-6), name
        moved = max(moved, (weight - before[name]).abs().max().item())
    assert moved > 1e-2  # had the loader skipped the factors, the assertion above would have failed


def test_the_pooled_entrance_has_its_original_name_in_the_webui_layout() -> None:
    lora = lora_of(plan(tiny_families.sdxl(), SPEC))
    tensors = lora.tensors("webui")
    assert "unet.add_embedding.linear_1" in lora.ranks
    own = [name for name in tensors if not (name.startswith("lora_unet_") and "_attentions_" in name)]
    assert sorted(own) == [f"lora_unet_label_emb_0_0.{end}" for end in ("alpha", "lora_down.weight", "lora_up.weight")]


def test_pictures_drawn_with_the_lora_are_those_of_the_applied_edit(made: EditPlan, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="load_lora_weights needs PEFT: pip install peft")
    theirs, ours = tiny.pipeline(), tiny.pipeline()
    lora_of(made).save(tmp_path / "lora.safetensors")

    def drawn(pipeline: Any) -> np.ndarray:
        return np.stack([picture for _, picture in generate(pipeline, SHOTS, Sampler(steps=2))]).astype(int)

    unedited = drawn(ours)
    theirs.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", local_files_only=True)
    with applied(ours, made):
        edited = drawn(ours)
    assert abs(drawn(theirs) - edited).max() <= 1  # rounding
    assert abs(unedited - edited).max() > 1
    theirs.unload_lora_weights()
    assert (drawn(theirs) == unedited).all()


def test_what_a_lora_cannot_carry_whole_is_refused(made: EditPlan, tmp_path: Path) -> None:
    def changed(name: str, delta: torch.Tensor) -> EditPlan:
        return replace(made, deltas={**made.deltas, name: delta})

    with pytest.raises(EditError, match=r"to_out\.0\.bias: .*full model"):
        lora_of(changed("unet.a.to_out.0.bias", torch.ones(4)))
    with pytest.raises(EditError, match="transformer_2"):
        lora_of(changed("transformer_2.a.weight", torch.ones(4, 4)))
    with pytest.raises(EditError, match="nothing"):
        lora_of(replace(made, deltas={name: 0 * delta for name, delta in made.deltas.items()}))
    for name in ("unet.add_embedding.linear_2.weight", "unet.time_embedding.linear_1.weight", "transformer.a.weight"):
        with pytest.raises(EditError, match=rf"{name.removesuffix('.weight')}.*diffusers layout"):
            lora_of(changed(name, torch.ones(4, 4))).save(tmp_path / "x", "webui")
    with pytest.raises(SettingError, match="layout"):
        lora_of(made).save(tmp_path / "x", "kohya")
    with pytest.raises(SettingError, match="rank"):
        lora_of(made, rank=0)
    assert not list(tmp_path.iterdir())
