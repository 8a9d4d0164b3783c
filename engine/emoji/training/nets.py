"""The shapes of the built-in model's parts, all of them classes of diffusers and transformers.

They have the type Any, because the libraries annotate their forward passes with unions that no caller can use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, ResNetConfig, ResNetForImageClassification

TOKENS = 32
WIDTH = 192


def clip(vocabulary: int, end_token: Any) -> Any:
    """Return a CLIP for 64 px pictures and `TOKENS` tokens; its text tower is the text encoder of the pipeline."""
    text = {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": TOKENS,
        "bos_token_id": end_token - 1,
        "eos_token_id": end_token,
        "pad_token_id": end_token,
    }
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 8,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def residual(labels: Sequence[str]) -> Any:
    """Return a classifier of 1.3 million weights, of convolutions alone, for 64 px pictures."""
    names = dict(enumerate(labels))
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=32,
            hidden_sizes=[48, 96, 160, 192],
            depths=[2, 1, 1, 1],
            layer_type="basic",
            id2label=names,
            label2id={name: place for place, name in names.items()},
        )
    )


def vae() -> Any:
    """Return an autoencoder from 64 x 64 x 3 to 8 x 8 x 16."""
    build: Any = AutoencoderKL
    return build(
        block_out_channels=(16, 32, 64, 128),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
    )


def unet() -> Any:
    """Return a UNet of two levels (8 x 8 and 4 x 4), with text cross-attention in both."""
    build: Any = UNet2DConditionModel
    return build(
        sample_size=8,
        in_channels=16,
        out_channels=16,
        block_out_channels=(192, 224),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def scheduler() -> Any:
    """Return the noise schedule of Stable Diffusion, with v-prediction, for a second-order solver in a dozen steps."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,
    )
