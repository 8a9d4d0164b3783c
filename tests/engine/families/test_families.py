"""Text projections are found by walking the modules; what is not known is refused."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from accelerate import cpu_offload
from diffusers import UNet2DModel
from diffusers.models.attention_processor import CustomDiffusionAttnProcessor
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from expunge.engine import families
from expunge.engine.errors import EditError, UnknownArchitecture
from expunge.engine.families import FAMILIES, projections
from expunge.engine.models.load import open_model
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied, apply
from expunge.engine.spec import EditSpec, Target
from tests.engine import tiny
from tests.engine.families import tiny_families

SPEC = EditSpec((Target("cat", ("cat",)),), editor="uce")


def test_every_text_projection_and_nothing_else():
    pipeline = tiny.pipeline()
    found = projections(pipeline)
    parameters = dict(pipeline.unet.named_parameters())
    expected = {name for name in parameters if "attn2.to_k" in name or "attn2.to_v" in name}
    assert {p.name.removeprefix("unet.") for p in found} == expected
    assert {p.kind for p in found if "to_k" in p.name} == {"key"}
    assert {p.kind for p in found if "to_v" in p.name} == {"value"}
    assert all(p.weight is parameters[p.name.removeprefix("unet.")] for p in found)
    assert all(p.weight.shape[1] == tiny.WIDTH for p in found)


def test_every_file_but_the_shared_ones_declares_a_family_and_no_class_is_of_two():
    files = {path.stem for path in Path(families.__file__).parent.glob("*.py")} - {"__init__", "base", "chat_template"}
    assert len(FAMILIES) == len({family.name for family in FAMILIES}) == len(files)
    classes = [name for family in FAMILIES for name in family.covers]
    assert len(classes) == len(set(classes))


def test_unknown_pipeline_lists_what_is_known():
    with pytest.raises(UnknownArchitecture, match="known pipelines: ") as refused:
        projections(object())
    assert all(name in str(refused.value) for family in FAMILIES for name in family.covers)


def test_a_unet_without_text_is_refused():
    pipeline = tiny.pipeline()
    pipeline.unet = UNet2DModel(block_out_channels=(8, 8), norm_num_groups=4, **plain())
    with pytest.raises(UnknownArchitecture, match="UNet2DModel"):
        projections(pipeline)


def test_attention_that_multiplies_by_fused_copies_is_refused() -> None:
    """An edit of the matrices that are left beside the copies would change nothing."""
    pipeline = tiny.pipeline()
    pipeline.unet.fuse_qkv_projections()
    with pytest.raises(UnknownArchitecture, match=r"attn1 are fused; call unfuse_qkv_projections\(\) first"):
        projections(pipeline)
    pipeline.unet.unfuse_qkv_projections()
    assert projections(pipeline)


@pytest.mark.parametrize("build", [tiny.pipeline, tiny_families.unet3d])
def test_a_projection_with_a_lora_on_it_is_refused(build: Callable[[], Any]) -> None:
    pipeline = build()
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["attn2.to_k"]), pipeline.unet)
    with pytest.raises(UnknownArchitecture, match=r"attn2\.to_k has a LoRA on it, fused or not; call unload_lora"):
        projections(pipeline)


def first_layer(pipeline: Any) -> tuple[str, Any]:
    name = projections(pipeline)[0].name.removesuffix(".weight")
    return name, pipeline.unet.get_submodule(name.removeprefix("unet."))


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_a_projection_that_holds_codes_or_too_few_bits_is_refused(dtype: torch.dtype) -> None:
    pipeline = tiny.pipeline()
    name, layer = first_layer(pipeline)
    layer.weight = nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    with pytest.raises(UnknownArchitecture, match=f"{name} holds {dtype}, too few bits for an edit"):
        projections(pipeline)


class Codes(torch.Tensor):
    """What torchao leaves in a plain linear layer: it says that it is float32, and is no memory of floats."""


@pytest.mark.parametrize("build", [tiny.pipeline, tiny_families.unet3d])
@pytest.mark.parametrize("kind", [lambda tensor: nn.Parameter(tensor.as_subclass(Codes)), torch.nn.Buffer])
def test_a_projection_that_is_no_plain_parameter_is_refused(build: Callable[[], Any], kind: Callable) -> None:
    pipeline = build()
    name, layer = first_layer(pipeline)
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = kind(weight)
    assert type(layer) is nn.Linear
    with pytest.raises(UnknownArchitecture, match=f"{name} holds a .*, no plain parameter; open the plain model"):
        projections(pipeline)


@pytest.mark.parametrize("build", [tiny.pipeline, tiny_families.flux])
def test_weights_that_were_offloaded_to_a_disk_are_refused(build: Callable[[], Any], tmp_path: Path) -> None:
    """What is in memory in their place means nothing, and what is written there is never read."""
    pipeline = build()
    denoiser = getattr(pipeline, "unet", None) or pipeline.transformer
    denoiser.enable_group_offload(
        torch.device("cpu"),
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        offload_to_disk_path=str(tmp_path),
    )
    with pytest.raises(UnknownArchitecture, match=r"offloaded to a disk; edit before enable_group_offload\(\)"):
        plan(pipeline, SPEC)


def test_matrices_of_a_processors_own_are_refused() -> None:
    pipeline = tiny.pipeline()
    attention = pipeline.unet.get_submodule(first_layer(pipeline)[0].removeprefix("unet.").removesuffix(".to_k"))
    attention.set_processor(CustomDiffusionAttnProcessor(True, False, attention.to_q.in_features, tiny.WIDTH))
    with pytest.raises(UnknownArchitecture, match="CustomDiffusionAttnProcessor with matrices of its own"):
        projections(pipeline)


@pytest.mark.parametrize(("build", "part"), [(tiny.pipeline, "unet"), (tiny_families.flux, "transformer")])
def test_a_compiled_denoiser_is_edited_like_a_plain_one(build: Callable[[], Any], part: str) -> None:
    pipeline = build()
    expected = plan(pipeline, SPEC)
    setattr(pipeline, part, torch.compile(getattr(pipeline, part)))
    made = plan(pipeline, SPEC)
    assert made.digest == expected.digest
    before = first_projection(pipeline).clone()
    with applied(pipeline, made):
        assert not first_projection(pipeline).equal(before)


@pytest.mark.parametrize(
    ("build", "part"),
    [
        (tiny.pipeline, "unet.mid_block"),
        (tiny_families.unet3d, "unet.mid_block"),
        (tiny_families.flux, "transformer.time_text_embed"),
        (tiny_families.flux, "transformer.context_embedder"),
    ],
)
def test_a_part_that_is_compiled_has_its_own_names(build: Callable[[], Any], part: str) -> None:
    """Else the plan would fit no other opening of the model, and its LoRA miss the part."""
    pipeline = build()
    expected = plan(pipeline, SPEC)
    component, _, name = part.partition(".")
    setattr(getattr(pipeline, component), name, torch.compile(getattr(getattr(pipeline, component), name)))
    assert plan(pipeline, SPEC).digest == expected.digest
    before = first_projection(pipeline).clone()
    with applied(pipeline, expected):
        assert not first_projection(pipeline).equal(before)
    assert first_projection(pipeline).equal(before)


def first_projection(pipeline: Any) -> torch.Tensor:
    return projections(pipeline)[0].weight


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"encoder_hid_dim_type": "text_proj", "encoder_hid_dim": tiny.WIDTH}, "encoder_hid_dim_type is 'text_proj'"),
        ({"addition_embed_type": "text", "addition_embed_type_num_heads": 2}, "takes 'text' beside the tokens"),
        ({"only_cross_attention": True}, "attn1 attends to text and is no attn2"),
        ({"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}, r"unet\.mid_block\.attentions\.0 attends to text"),
        (
            {"down_block_types": ("CrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D")},
            r"unet\.down_blocks\.1\.attentions\.0 attends to text",
        ),
    ],
)
def test_a_unet_that_text_enters_elsewhere_too_is_refused(setting: dict[str, Any], reason: str) -> None:
    """It draws like any other, and an edit of its `attn2` would leave what the text says there."""
    pipeline: Any = tiny.pipeline()
    pipeline.unet = tiny.unet(**setting)
    assert pipeline("cat", num_inference_steps=1, output_type="np", height=16, width=16).images.max() > 0
    with pytest.raises(UnknownArchitecture, match=reason):
        projections(pipeline)


@pytest.mark.parametrize("build", [tiny_families.sdxl, tiny_families.animatediff])
def test_attention_to_text_in_both_places_is_refused_in_every_family_of_unets(build: Callable[[], Any]) -> None:
    pipeline = build()
    attention = next(m for name, m in pipeline.unet.named_modules() if name.endswith("attn1") and "motion" not in name)
    attention.is_cross_attention = True
    with pytest.raises(UnknownArchitecture, match=r"attn1 attends to text and is no attn2"):
        projections(pipeline)


def test_a_video_model_that_takes_what_its_pipeline_does_not_feed_is_refused() -> None:
    pipeline = tiny_families.animatediff()
    pipeline.unet.register_to_config(addition_embed_type="text_time")
    with pytest.raises(UnknownArchitecture, match=r"takes 'text_time' beside the tokens .* of which it is None"):
        projections(pipeline)


def test_a_unet_with_an_ip_adapter_is_edited_as_it_was() -> None:
    """Its loader tells the configuration in this way."""
    pipeline = tiny.pipeline()
    expected = plan(pipeline, SPEC)
    pipeline.unet.config.encoder_hid_dim_type = "ip_image_proj"
    assert plan(pipeline, SPEC).digest == expected.digest


@pytest.mark.parametrize("build", [tiny.pipeline, tiny_families.unet3d, tiny_families.animatediff])
def test_a_pipeline_that_hides_padding_from_its_text_encoder_is_refused(build: Callable[[], Any]) -> None:
    """It feeds other states than those that are read here, so that both the edit and its proof would miss."""
    pipeline = build()
    plain = asked(pipeline)
    pipeline.text_encoder.config.use_attention_mask = True
    assert not torch.allclose(asked(pipeline), plain, atol=1e-2)
    with pytest.raises(UnknownArchitecture, match="use_attention_mask is set in the text encoder's config"):
        plan(pipeline, SPEC)
    pipeline.text_encoder.config.use_attention_mask = False
    assert asked(pipeline).equal(plain)
    assert projections(pipeline)


def test_one_line_in_a_folder_that_hides_padding_is_refused(tmp_path: Path) -> None:
    config = tiny.save(tmp_path / "masked") / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_attention_mask": True}))
    with pytest.raises(UnknownArchitecture, match="use_attention_mask"):
        plan(open_model(tmp_path / "masked"), SPEC)


@torch.no_grad()
def asked(pipeline: Any) -> torch.Tensor:
    """The states that the pipeline itself feeds."""
    return pipeline.encode_prompt("cat", "cpu", 1, False)[0]


def test_only_the_families_that_refuse_a_hidden_padding_have_classes_that_hide_it() -> None:
    obeying = {
        family.name
        for family in FAMILIES
        for name in family.covers
        if "use_attention_mask" in inspect.getsource(getattr(diffusers, name).encode_prompt)
    }
    assert obeying == {"stable-diffusion", "text-to-video"}


def test_a_text_encoder_that_is_not_in_memory_cannot_be_asked() -> None:
    """As `enable_sequential_cpu_offload` leaves it."""
    pipeline = tiny.pipeline()
    cpu_offload(pipeline.text_encoder, torch.device("cpu"))
    with pytest.raises(EditError, match="text encoder: is not in memory; plan before the model is offloaded"):
        plan(pipeline, SPEC)


def test_a_plan_is_not_applied_to_weights_that_are_not_in_memory() -> None:
    pipeline = tiny.pipeline()
    made = plan(pipeline, SPEC)
    pipeline.unet.to("meta")
    with pytest.raises(EditError, match=r"unet\..*: is not in memory; plan and apply before the model is offloaded"):
        apply(pipeline, made)


def test_a_projection_that_is_not_in_memory_cannot_be_planned_for() -> None:
    pipeline = tiny.pipeline()
    name, layer = first_layer(pipeline)
    layer.weight = nn.Parameter(layer.weight.detach().to("meta"), requires_grad=False)
    with pytest.raises(EditError, match=f"{name}.weight: is not in memory; plan and apply before"):
        plan(pipeline, EditSpec((Target("cat", ("cat",)),)))


def plain() -> dict:
    return {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "layers_per_block": 1}
