"""AuraFlow: the states of a T5 enter by `context_embedder`, which stands before all blocks.

T5 does not attend to padding, whose states are zeros: of these no change of a matrix makes anything, though the blocks
attend to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from engine.families.base import Arguments, Family, Projection, entrance, reading, silenced, spoken

T5_TOKENS = 256  # which the pipeline reads unless told otherwise


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.context_embedder", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, T5_TOKENS),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    ids = ids.to(pipeline.text_encoder.device)
    mask = spoken(pipeline.tokenizer, ids)
    return silenced(pipeline.text_encoder(ids, mask)[0], mask)


def arguments(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    """The pipeline asks for the mask and makes no use of it but to ask."""
    return {"prompt_embeds": states[0], "prompt_attention_mask": (states[0] != 0).any(-1)}


def predict(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    """As the pipeline has it, the time is told as a share of a thousand steps, 1 for noise alone."""
    share = (times / 1000).expand(len(noisy)).to(noisy)
    return pipeline.transformer(noisy, arguments["prompt_embeds"], share).sample


FAMILY = Family(
    "aura-flow",
    ("AuraFlowPipeline",),
    projections,
    tokenizers,
    embed,
    arguments=arguments,
    predict=predict,
    denoisers=("transformer",),
)
