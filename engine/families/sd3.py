"""Stable Diffusion 3 and 3.5: two CLIP encoders and a T5 enter by one embedder in front of joint attention.

`context_embedder` meets the raw states of every text token: those of the two CLIP encoders side by side, with zeros up
to T5's width, and then T5's own. Both streams feed the same matrix, so an edit answers to both. The pooled vectors of
the two CLIP encoders enter by `time_text_embed.text_embedder.linear_1`.

Nothing behind these two is edited. `add_k_proj` and `add_v_proj` of a block act on text states that were normalised and
modulated by timestep and pooled text. From the second block on, these have mixed with the picture. No fixed set of text
vectors feeds them, so no closed form over text vectors holds there. A concept that the embedder sends to its anchor is
gone from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from expunge.engine.errors import UnknownArchitecture
from expunge.engine.families.base import Arguments, Family, Projection, entrance, reading
from expunge.engine.families.sdxl import check_twins, encode_twice, penultimate

CLIP, T5, POOLED = 0, 1, 2
T5_TOKENS = 256  # the pipeline's default, whatever its tokenizer could read


def projections(pipeline: Any) -> list[Projection]:
    return [
        entrance(pipeline, "transformer.time_text_embed.text_embedder.linear_1", (POOLED,)),
        entrance(pipeline, "transformer.context_embedder", (CLIP, T5)),
    ]


def check(pipeline: Any) -> None:
    check_twins(pipeline)
    if pipeline.text_encoder_3 is None:
        raise UnknownArchitecture("the T5 encoder is missing, and an edit made without it would not hold beside it")


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer_3, T5_TOKENS),) if stream == T5 else (pipeline.tokenizer, pipeline.tokenizer_2)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Return the states or the pooled vectors of a stream.

    T5 attends to padding too, as in the pipeline.
    """
    if stream == T5:
        return pipeline.text_encoder_3(ids.to(pipeline.text_encoder_3.device))[0]
    outputs = encode_twice(pipeline, ids)
    if stream == POOLED:
        return torch.cat([output.text_embeds for output in outputs], -1)[:, None]
    states = penultimate(outputs)
    return pad(states, (0, pipeline.text_encoder_3.config.d_model - states.shape[-1]))


def arguments(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    tokens = torch.cat([states[CLIP], states[T5]], 1)
    return {"prompt_embeds": tokens, "pooled_prompt_embeds": states[POOLED][:, 0]}


def predict(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    pooled, states = arguments["pooled_prompt_embeds"], arguments["prompt_embeds"]
    return pipeline.transformer(noisy, states, pooled_projections=pooled, timestep=times).sample


FAMILY = Family(
    "stable-diffusion-3",
    ("StableDiffusion3Pipeline",),
    projections,
    tokenizers,
    embed,
    streams=3,
    arguments=arguments,
    predict=predict,
    check=check,
    further=("StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
    denoisers=("transformer",),
)
