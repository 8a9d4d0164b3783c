"""FLUX.2 klein: what three layers of a Qwen3 say of a chat, side by side, enters by `context_embedder` alone.

The text is what a user says in the tokenizer's own chat template; the denoiser attends to all tokens of it, to those of
the template and the padding too. There is no pooled vector: the blocks' modulation follows the timestep only. Of states
that it is given the pipeline itself would put one empty prompt beside all, which fits one picture.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from expunge.engine.families.base import Family, Projection, away_from, entrance, readable_by, spoken
from expunge.engine.families.chat_template import Chat

TOKENS = 512  # which the pipeline reads unless told otherwise
LAYERS = (9, 18, 27)  # which it takes unless told otherwise


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.context_embedder", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (Chat.of(pipeline.tokenizer, TOKENS, enable_thinking=False),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Of the last token alone the encoder says what would come next, which nobody asks."""
    encoder, ids = pipeline.text_encoder, ids.to(pipeline.text_encoder.device)
    read = encoder(ids, spoken(pipeline.tokenizer, ids), output_hidden_states=True, use_cache=False, logits_to_keep=1)
    return torch.cat([read.hidden_states[layer] for layer in LAYERS], -1)


FAMILY = Family(
    "flux-2-klein",
    ("Flux2KleinPipeline",),
    projections,
    tokenizers,
    embed,
    arguments=away_from("", tokenizers, embed),
    check=readable_by(tokenizers),
    denoisers=("transformer",),
)
