"""FLUX.2 klein: the states of three layers of a Qwen3, side by side, enter by `context_embedder` alone.

The text is a user's message in the tokenizer's own chat template. The denoiser attends to all of its tokens, those of
the template and the padding included. There is no pooled vector: the blocks' modulation depends on the timestep only.
When the pipeline is given states, it would put one empty prompt beside all of them, which fits one picture only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from expunge.engine.families.base import Family, Projection, away_from, entrance, readable_by, spoken
from expunge.engine.families.chat_template import Chat

TOKENS = 512  # the pipeline's default
LAYERS = (9, 18, 27)  # the pipeline's default


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.context_embedder", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (Chat.of(pipeline.tokenizer, TOKENS, enable_thinking=False),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Return the states of three layers, side by side.

    The encoder's head runs on the last token alone, because nobody asks what would come next.
    """
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
