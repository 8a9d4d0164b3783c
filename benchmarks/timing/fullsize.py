"""Stable Diffusion 1.5 in the sizes that an edit meets, of random weights and without a download.

The text encoder is a whole CLIP ViT-L/14 text tower. Of the UNet only the 16 cross-attentions' key and value matrices,
24,960 rows of 768, hold numbers; the rest, which no edit reads, stays on the `meta` device. The tokenizer is the
built-in model's, reading 77 tokens: its vocabulary is small, which changes what a name's tokens are and no sizes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from expunge.engine.emoji import MODEL
from expunge.engine.families.sd import KINDS
from expunge.engine.spec import EditSpec, Target
from expunge.engine.text.vocabulary import words


@dataclass(frozen=True)
class Size:
    """Widths of the text encoder, its layers and heads, channels of the UNet's levels, and tokens read."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    tokens: int = 77
    vocabulary: int = 49408


WORDS = MODEL / "tokenizer"
MOST_NAMES = 10_000
FULL = Size()
SHALLOW = Size(layers=1)  # for what does not depend on the encoder's depth


def pipeline(size: Size = FULL, seed: int = 0, device: str = "cpu") -> StableDiffusionPipeline:
    """Make a pipeline of random weights, the same for the same seed and size."""
    reader: Any = CLIPTokenizer.from_pretrained(WORDS, model_max_length=size.tokens, local_files_only=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text: Any = CLIPTextModel(_text_config(size, reader))
        unet = _unet(size, device)
    made = StableDiffusionPipeline(
        None,  # type: ignore[arg-type]
        text.to(device).eval(),
        reader,
        unet,
        DDIMScheduler(steps_offset=1, clip_sample=False),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    return made


def spec(count: int, editor: str, settings: dict[str, Any]) -> EditSpec:
    """At most `MOST_NAMES` targets, each a name of two of the tokenizer's words; the first ones are always the same.

    Every other word is in no name: editors need words that stay.
    """
    names = _names(count)
    return EditSpec(tuple(Target(f"{n:05}", (name,)) for n, name in enumerate(names)), (), editor, settings)


def _names(count: int) -> list[str]:
    known = words(CLIPTokenizer.from_pretrained(WORDS, local_files_only=True))[::2]
    drawn = random.Random("benchmark names").sample(range(len(known) ** 2), MOST_NAMES)
    return [f"{known[pair // len(known)]} {known[pair % len(known)]}" for pair in drawn[:count]]


def _text_config(size: Size, reader: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=size.tokens,
        bos_token_id=reader.bos_token_id,
        eos_token_id=reader.eos_token_id,
        pad_token_id=reader.pad_token_id,
    )


def _unet(size: Size, device: str) -> UNet2DConditionModel:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=size.channels,  # type: ignore[arg-type]
            cross_attention_dim=size.width,
            norm_num_groups=min(32, size.channels[0]),
        )
    for name, module in unet.named_modules():
        if name.endswith(tuple(KINDS)):
            numbers = torch.randn(module.weight.shape) / size.width**0.5  # type: ignore[union-attr,arg-type]
            module.weight = nn.Parameter(numbers.to(device), requires_grad=False)  # type: ignore[assignment]
    return unet
