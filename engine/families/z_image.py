"""Z-Image: what the last layer but one of a Qwen3 says of a chat enters by `cap_embedder.1`, behind a norm.

The text is what a user says in the tokenizer's own chat template; the tokens of the template enter like it, and those
of padding not at all: the pipeline is handed each prompt's states by themselves. They stand in one tensor until then,
and what is zero in it is padding. `cap_embedder.0` norms each state alone, so what the matrix multiplies is known.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from expunge.engine.families.base import (
    Arguments,
    Family,
    Projection,
    away_from,
    entrance,
    heard,
    readable_by,
    silenced,
    spoken,
)
from expunge.engine.families.chat_template import Chat

TOKENS = 512  # which the pipeline reads unless told otherwise


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.cap_embedder.1", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (Chat.of(pipeline.tokenizer, TOKENS, enable_thinking=True),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Of an encoder that came with a head the head is not asked."""
    encoder, ids = pipeline.text_encoder.base_model, ids.to(pipeline.text_encoder.device)
    mask = spoken(pipeline.tokenizer, ids)
    read = encoder(ids, mask, output_hidden_states=True, use_cache=False)
    return silenced(read.hidden_states[-2], mask)


def handed(arguments: Arguments) -> dict[str, list[Tensor]]:
    return {name: heard(states) for name, states in arguments.items()}


def guided(guidance: float) -> dict[str, float]:
    """The pipeline adds the difference to what it guides, where others put it in its place."""
    return {"guidance_scale": guidance - 1}


FAMILY = Family(
    "z-image",
    ("ZImagePipeline",),
    projections,
    tokenizers,
    embed,
    arguments=away_from("", tokenizers, embed),
    handed=handed,
    guided=guided,
    norm="transformer.cap_embedder.0",
    further=("ZImageImg2ImgPipeline", "ZImageInpaintPipeline"),
    check=readable_by(tokenizers),
    denoisers=("transformer",),
)
