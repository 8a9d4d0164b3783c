"""Z-Image: the states of a Qwen3's last layer but one for a chat enter by `cap_embedder.1`, behind a norm.

The text is a user's message in the tokenizer's own chat template. The template's tokens enter like it, and those of
padding not at all: the pipeline gets each prompt's states by themselves. Here all stay in one tensor until then, in
which zeros are padding. `cap_embedder.0` norms each state alone, so what the matrix multiplies is known.
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

TOKENS = 512  # the pipeline's default


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.cap_embedder.1", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (Chat.of(pipeline.tokenizer, TOKENS, enable_thinking=True),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Return the states of the last layer but one, without the encoder's head, and zeros at padding."""
    encoder, ids = pipeline.text_encoder.base_model, ids.to(pipeline.text_encoder.device)
    mask = spoken(pipeline.tokenizer, ids)
    read = encoder(ids, mask, output_hidden_states=True, use_cache=False)
    return silenced(read.hidden_states[-2], mask)


def handed(arguments: Arguments) -> dict[str, list[Tensor]]:
    return {name: heard(states) for name, states in arguments.items()}


def guided(guidance: float) -> dict[str, float]:
    """Return the keywords for a strength of guidance.

    The pipeline adds the difference to the guided prediction, where others put it in its place.
    """
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
