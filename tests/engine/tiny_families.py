"""Real pipelines of the other families, as small as their classes allow, built offline from configs and one seed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from tests.engine import tiny

SECOND, POOLED, SIZES = 24, 20, 6 * 4


def seeded(build: Callable[[], Any]) -> Callable[..., Any]:
    """A builder whose weights are the same for the same seed; its pipeline draws no progress bars."""

    @functools.wraps(build)
    def built(seed: int = 0) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            pipeline = build()
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return built


def bang_padded() -> CLIPTokenizer:
    """The same tokens, padded with `!` as the second tokenizers of Stable Diffusion XL and 3 are."""
    words = tiny.tokenizer()
    words.pad_token = "!"
    return words


def clip(kind: Any = CLIPTextModel, width: int = tiny.WIDTH) -> Any:
    words = tiny.tokenizer()
    end = words.get_vocab()[tiny.END]
    return kind(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=tiny.TOKENS,
            projection_dim=POOLED,
            bos_token_id=end - 1,
            eos_token_id=end,
            pad_token_id=end,
            initializer_factor=5.0,
        )
    )


def vae(**more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8),  # type: ignore[arg-type]
        down_block_types=("DownEncoderBlock2D",) * 2,  # type: ignore[arg-type]
        up_block_types=("UpDecoderBlock2D",) * 2,  # type: ignore[arg-type]
        norm_num_groups=4,
        **more,
    )


@seeded
def sdxl() -> StableDiffusionXLPipeline:
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=tiny.WIDTH + SECOND,
        attention_head_dim=2,
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=SIZES // 6,
        projection_class_embeddings_input_dim=POOLED + SIZES,
    )
    encoders = clip(), clip(CLIPTextModelWithProjection, SECOND)
    scheduler: Any = DDIMScheduler(steps_offset=1, clip_sample=False)
    return StableDiffusionXLPipeline(vae(), *encoders, tiny.tokenizer(), bang_padded(), unet, scheduler)
