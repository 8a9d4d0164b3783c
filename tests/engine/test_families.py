"""Text projections are found by walking the modules; what is not known is refused."""

from __future__ import annotations

import pytest
from diffusers import UNet2DModel

from engine.errors import UnknownArchitecture
from engine.families import projections
from tests.engine import tiny


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


def test_unknown_pipeline_lists_what_is_known():
    with pytest.raises(UnknownArchitecture, match="known pipelines: StableDiffusionPipeline"):
        projections(object())


def test_a_unet_without_text_is_refused():
    pipeline = tiny.pipeline()
    pipeline.unet = UNet2DModel(block_out_channels=(8, 8), norm_num_groups=4, **plain())
    with pytest.raises(UnknownArchitecture, match="UNet2DModel"):
        projections(pipeline)


def plain() -> dict:
    return {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "layers_per_block": 1}
