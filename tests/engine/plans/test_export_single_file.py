"""A single file opens as the edited model, and what it says nothing of is noted with the cure."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EDMEulerScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import _legacy_load_scheduler, convert_ldm_unet_checkpoint
from safetensors.torch import load_file, save_file

from expunge.engine.errors import EditError, UnknownArchitecture
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.plans.export import export
from expunge.engine.plans.single_file import unet_name, write_single_file
from tests.engine import tiny
from tests.engine.families import tiny_families
from tests.engine.plans.exported import edited, same, weights


def test_the_single_file_opens_as_the_edited_model(base: Path, made: EditPlan, saved: Path, tmp_path: Path) -> None:
    assert export(saved, "single-file", tmp_path / "out.safetensors", base).note == ""
    read = StableDiffusionPipeline.from_single_file(
        str(tmp_path / "out.safetensors"), config=str(base), local_files_only=True, safety_checker=None
    )
    same(read, edited(base, made))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.safetensors", "plan.safetensors"]


@pytest.mark.parametrize(("kind", "act"), [("sdxl", "quick_gelu"), ("sd2", "gelu")])
def test_encoders_of_open_clip_go_round_too(kind: str, act: str, tmp_path: Path) -> None:
    pipeline: Any = tiny_families.sdxl() if kind == "sdxl" else tiny.pipeline()
    pipeline.text_encoder.config.hidden_act = act
    pipeline.save_pretrained(tmp_path / "model")
    write_single_file(tmp_path / "model", tmp_path / "one.safetensors")
    names = load_file(tmp_path / "one.safetensors").keys()
    assert any(name.endswith("attn.in_proj_weight") for name in names)
    loader: Any = StableDiffusionXLPipeline if kind == "sdxl" else StableDiffusionPipeline
    read = loader.from_single_file(
        str(tmp_path / "one.safetensors"), config=str(tmp_path / "model"), local_files_only=True
    )
    same(read, pipeline)


def shaped(kind: str) -> Any:
    """A pipeline that diffusers takes for a Stable Diffusion of this kind, by the name and width of one matrix."""
    if kind == "xl":
        return tiny_families.sdxl()
    pipeline = tiny.pipeline()
    shape = {**pipeline.unet.config, "layers_per_block": 2, "cross_attention_dim": 1024 if kind == "2" else tiny.WIDTH}
    pipeline.unet = UNet2DConditionModel.from_config(shape)
    return pipeline


@pytest.mark.parametrize("kind", ["1", "2", "xl"])
def test_a_file_that_would_be_sampled_wrongly_is_noted_with_the_cure(kind: str, tmp_path: Path) -> None:
    model, one = tmp_path / "model", tmp_path / "one.safetensors"
    shaped(kind).save_pretrained(model)
    for prediction in ("epsilon", "v_prediction", "sample"):
        DDIMScheduler(prediction_type=prediction, clip_sample=False).save_pretrained(model / "scheduler")  # type: ignore[arg-type]
        note = write_single_file(model, one)
        read: Any = _legacy_load_scheduler(DDIMScheduler, load_file(one), "scheduler")
        taken = read.config.prediction_type
        assert taken == ("v_prediction" if kind == "2" else "epsilon")
        assert bool(note) == (taken != prediction)
        assert not note or f"predicts {prediction}, and readers take the file for one that predicts {taken}" in note


def test_the_cure_of_the_note_opens_the_file_as_what_it_is(made: EditPlan, saved: Path, tmp_path: Path) -> None:
    model, one = tiny.save(tmp_path / "model"), tmp_path / "one.safetensors"
    DDIMScheduler(prediction_type="v_prediction", clip_sample=False).save_pretrained(model / "scheduler")  # type: ignore[arg-type]
    assert "config=FOLDER" in export(saved, "single-file", one, model).note
    read = StableDiffusionPipeline.from_single_file(str(one), config=str(model), local_files_only=True)
    assert read.scheduler.config.prediction_type == "v_prediction"


@pytest.mark.parametrize(
    ("file", "setting", "told"),
    [
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, r"starts from noise alone \(rescale"),
        (
            "vae/config.json",
            {"latents_mean": [0.1] * 4, "latents_std": [1.0] * 4},
            r"shifts its latents \(latents_mean",
        ),
    ],
)
def test_scales_of_which_the_file_says_nothing_are_noted(
    file: str, setting: dict[str, Any], told: str, tmp_path: Path
) -> None:
    tiny_families.sdxl().save_pretrained(model := tmp_path / "model")
    assert write_single_file(model, tmp_path / "plain.safetensors") == ""
    config = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**config, **setting}))
    assert re.search(f"{told}.*readers sample it otherwise", write_single_file(model, tmp_path / "one.safetensors"))


def test_a_model_of_edm_is_noted_and_the_cure_opens_it_as_one(tmp_path: Path) -> None:
    pipeline, one = tiny_families.sdxl(), tmp_path / "one.safetensors"
    pipeline.register_modules(scheduler=EDMEulerScheduler(prediction_type="v_prediction"))
    pipeline.save_pretrained(model := tmp_path / "model")
    note = write_single_file(model, one)
    assert note.startswith("the model predicts v_prediction, and readers take the file for one that predicts epsilon")
    assert "; the model is walked by EDMEulerScheduler, of which the file says nothing" in note
    read = StableDiffusionXLPipeline.from_single_file(str(one), config=str(model), local_files_only=True)
    assert isinstance(read.scheduler, EDMEulerScheduler)


FULL_SIZE: dict[str, dict[str, Any]] = {
    "sd": {"cross_attention_dim": 768},
    "sdxl": {
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}


@pytest.mark.parametrize("kind", FULL_SIZE)
def test_at_full_size_every_name_is_read_back_by_the_official_converter(kind: str) -> None:
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**FULL_SIZE[kind])
    weights = unet.state_dict()
    attending = [place for place, name in enumerate(unet.config.up_block_types) if "CrossAttn" in name]
    original = {f"model.diffusion_model.{unet_name(name, 2, attending)}": weight for name, weight in weights.items()}
    back = convert_ldm_unet_checkpoint(dict(original), dict(unet.config))
    assert back.keys() == weights.keys()
    assert all(back[name] is weight for name, weight in weights.items())
    assert "model.diffusion_model.output_blocks.5.2.conv.weight" in original  # as in the published checkpoints


def test_a_single_file_keeps_half_precision_and_leaves_nothing_out(tmp_path: Path) -> None:
    half = tiny.pipeline().to(torch.bfloat16)
    half.save_pretrained(tmp_path / "model")
    write_single_file(tmp_path / "model", tmp_path / "one.safetensors")
    stored = load_file(tmp_path / "one.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    assert sum(value.numel() for value in stored.values()) == sum(w.numel() for w in weights(half).values())


def test_a_weight_without_a_name_in_the_single_file_is_refused(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "model")
    path = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(path), "class_embedding.weight": torch.ones(2)}, path)
    with pytest.raises(EditError, match=r"unet\.class_embedding\.weight"):
        write_single_file(tmp_path / "model", tmp_path / "one.safetensors")
    tiny_families.sd3().save_pretrained(tmp_path / "sd3")
    with pytest.raises(UnknownArchitecture, match=r"known: StableDiffusionPipeline"):
        write_single_file(tmp_path / "sd3", tmp_path / "one.safetensors")
    assert not list(tmp_path.glob("one*"))
