"""FLUX.2 klein: what three layers of a Qwen3 say of a chat, side by side, enters by `context_embedder` alone.

The text is what a user says in the tokenizer's own chat template; the denoiser attends to all tokens of it, to those of
the template and the padding too. There is no pooled vector: the blocks' modulation follows the timestep only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from engine.chat import Chat
from engine.families.base import Family, Projection, encoder_there, entrance, spoken

TOKENS = 512  # which the pipeline reads unless told otherwise
LAYERS = (9, 18, 27)  # which it takes unless told otherwise


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.context_embedder", (0,))]


def check(pipeline: Any) -> None:
    encoder_there(pipeline)
    tokenizers(pipeline, 0)


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (Chat.of(pipeline.tokenizer, TOKENS, enable_thinking=False),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    """Of the last token alone the encoder says what would come next, which nobody asks."""
    encoder, ids = pipeline.text_encoder, ids.to(pipeline.text_encoder.device)
    read = encoder(ids, spoken(pipeline.tokenizer, ids), output_hidden_states=True, use_cache=False, logits_to_keep=1)
    return torch.cat([read.hidden_states[layer] for layer in LAYERS], -1)


def arguments(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    """With the empty prompt beside each: of states the pipeline itself takes one for all, which fits one prompt."""
    (reader,) = tokenizers(pipeline, 0)
    ids = reader([""], padding="max_length", max_length=TOKENS)["input_ids"]
    empty = embed(pipeline, torch.tensor(ids), 0).to(states[0])
    return {"prompt_embeds": states[0], "negative_prompt_embeds": empty.expand_as(states[0])}


FAMILY = Family(
    "flux-2-klein",
    ("Flux2KleinPipeline",),
    projections,
    tokenizers,
    embed,
    arguments=arguments,
    check=check,
    denoisers=("transformer",),
)
