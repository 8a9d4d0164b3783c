"""Stable Diffusion XL: two CLIP text encoders side by side feed `attn2` of a 2D UNet, and a pooled vector its timestep.

The keys and values get the penultimate states of both encoders, concatenated token by token. The second encoder's
pooled vector of the whole prompt enters by `add_embedding.linear_1`, whose other columns are fed with picture sizes.
That vector carries the prompt's subject too, so the columns that it feeds are edited like the other matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.engine.errors import UnknownArchitecture
from expunge.engine.families import sd
from expunge.engine.families.base import Arguments, Family, Projection, entrance, refuse_missing, uncompiled

TOKENS, POOLED = 0, 1
SIZES = 6  # numbers beside the prompt: original size, corner of the cut, and final size


def projections(pipeline: Any) -> list[Projection]:
    crossed, settings = sd.cross_attention(pipeline, beside="text_time"), uncompiled(pipeline.unet).config
    width = settings.projection_class_embeddings_input_dim - SIZES * settings.addition_time_embed_dim
    return [*crossed, entrance(pipeline, "unet.add_embedding.linear_1", (POOLED,), width)]


def check_twins(pipeline: Any) -> None:
    """Check that the two CLIP encoders are there and have the same tokens.

    They differ in what they pad with. A tokenizer takes its padding for a token wherever it stands, so the one that
    pads with `!` reads `P!nk` in its own way. Each encoder therefore needs its own tokens.

    Raises:
        UnknownArchitecture: an encoder is missing, or the tokenizers differ.
    """
    refuse_missing(pipeline.text_encoder, pipeline.text_encoder_2)
    first, second = pipeline.tokenizer, pipeline.tokenizer_2
    if first.get_vocab() != second.get_vocab() or first.model_max_length != second.model_max_length:
        raise UnknownArchitecture("the two CLIP tokenizers differ, so their tokens do not stand side by side")


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (pipeline.tokenizer, pipeline.tokenizer_2) if stream == TOKENS else (pipeline.tokenizer_2,)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    if stream == POOLED:
        return pipeline.text_encoder_2(ids.to(pipeline.text_encoder_2.device)).text_embeds[:, None]
    return penultimate(encode_twice(pipeline, ids))


def encode_twice(pipeline: Any, ids: Tensor) -> list[Any]:
    """Return the outputs of the two CLIP encoders for ids [n, 2, T], each for those of its own tokenizer."""
    pairs = zip((pipeline.text_encoder, pipeline.text_encoder_2), ids.unbind(1), strict=True)
    return [encoder(own.to(encoder.device), output_hidden_states=True) for encoder, own in pairs]


def penultimate(outputs: Sequence[Any]) -> Tensor:
    """Return the states before the last layer, side by side, [n, T, d1 + d2]."""
    return torch.cat([output.hidden_states[-2] for output in outputs], -1)


def arguments(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    return {"prompt_embeds": states[TOKENS], "pooled_prompt_embeds": states[POOLED][:, 0]}


def predict(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    """Return the denoiser's prediction for pictures of the size of the latents, from the corner."""
    height, width = (pipeline.vae_scale_factor * side for side in noisy.shape[-2:])
    sizes = torch.tensor([[height, width, 0, 0, height, width]]).repeat(len(noisy), 1).to(noisy)
    added = {"text_embeds": arguments["pooled_prompt_embeds"], "time_ids": sizes}
    states = arguments["prompt_embeds"]
    return pipeline.unet(noisy, times, encoder_hidden_states=states, added_cond_kwargs=added).sample


FAMILY = Family(
    "stable-diffusion-xl",
    ("StableDiffusionXLPipeline",),
    projections,
    tokenizers,
    embed,
    streams=2,
    arguments=arguments,
    predict=predict,
    check=check_twins,
    further=("StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"),
)
