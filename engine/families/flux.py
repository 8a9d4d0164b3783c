"""FLUX.1: T5 states enter by `context_embedder`, CLIP's pooled vector by `time_text_embed.text_embedder.linear_1`.

As in Stable Diffusion 3 these are the only two matrices that text alone feeds. `add_k_proj` and `add_v_proj` of the
double blocks act on the output of norms, modulation and earlier blocks. The single blocks act on text and picture
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from expunge.engine.families.base import Arguments, Family, Projection, entrance, reading, refuse_missing

T5, POOLED = 0, 1
T5_TOKENS = 512  # the pipeline's default


def projections(pipeline: Any) -> list[Projection]:
    return [
        entrance(pipeline, "transformer.time_text_embed.text_embedder.linear_1", (POOLED,)),
        entrance(pipeline, "transformer.context_embedder", (T5,)),
    ]


def check(pipeline: Any) -> None:
    refuse_missing(pipeline.text_encoder, pipeline.text_encoder_2)


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer_2, T5_TOKENS) if stream == T5 else pipeline.tokenizer,)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Return the states of T5, or CLIP's pooled vector.

    T5 attends to padding too, as in the pipeline.
    """
    if stream == T5:
        return pipeline.text_encoder_2(ids.to(pipeline.text_encoder_2.device))[0]
    return pipeline.text_encoder(ids.to(pipeline.text_encoder.device)).pooler_output[:, None]


def arguments(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    return {"prompt_embeds": states[T5], "pooled_prompt_embeds": states[POOLED][:, 0]}


def predict(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    """Return the denoiser's prediction.

    FLUX reads squares of 2 x 2 latents as one token, each with its place.
    """
    packed = pixel_unshuffle(noisy, 2)
    rows, columns = packed.shape[-2:]
    places = torch.cartesian_prod(torch.arange(1), torch.arange(rows), torch.arange(columns)).to(noisy)
    states = arguments["prompt_embeds"]
    guided = pipeline.transformer.config.guidance_embeds
    predicted = pipeline.transformer(
        hidden_states=packed.flatten(2).transpose(1, 2),
        timestep=times / pipeline.scheduler.config.num_train_timesteps,
        guidance=torch.ones(len(noisy)).to(noisy) if guided else None,
        pooled_projections=arguments["pooled_prompt_embeds"],
        encoder_hidden_states=states,
        txt_ids=torch.zeros(states.shape[1], 3).to(noisy),
        img_ids=places,
    ).sample
    return pixel_shuffle(predicted.transpose(1, 2).unflatten(2, (rows, columns)), 2)


FAMILY = Family(
    "flux",
    ("FluxPipeline",),
    projections,
    tokenizers,
    embed,
    streams=2,
    arguments=arguments,
    predict=predict,
    further=(
        "FluxKontextPipeline",
        "FluxKontextInpaintPipeline",
        "FluxFillPipeline",
        "FluxControlPipeline",
        "FluxControlImg2ImgPipeline",
        "FluxControlInpaintPipeline",
        "FluxImg2ImgPipeline",
        "FluxInpaintPipeline",
    ),
    check=check,
    denoisers=("transformer",),
)
