"""LTX text to video: T5 states enter by `caption_projection.linear_1`, which stands before all blocks.

The blocks' `attn2` does not attend to padding: it is told by a mask, which is read off the states here, for those of
padding are set to zeros. T5 attends to it in the first pipeline, and in that of version 0.9.5 and later does not. A
model is judged by single frames, which it draws when asked for a video of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from engine.families.base import Family, Projection, entrance, reading, silenced, spoken
from engine.families.video import middle

FIRST, LATER = "LTXPipeline", "LTXConditionPipeline"
T5_TOKENS, LATER_TOKENS = 128, 256  # which the pipelines read unless told otherwise


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.caption_projection.linear_1", (0,))]


def is_later(pipeline: Any) -> bool:
    return type(pipeline).__name__ == LATER


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, LATER_TOKENS if is_later(pipeline) else T5_TOKENS),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    ids = ids.to(pipeline.text_encoder.device)
    mask = spoken(pipeline.tokenizer, ids)
    states = pipeline.text_encoder(ids, mask if is_later(pipeline) else None)[0]
    return silenced(states, mask)


def arguments(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    return {"prompt_embeds": states[0], "prompt_attention_mask": (states[0] != 0).any(-1)}


FAMILY = Family(
    "ltx",
    (FIRST, LATER),
    projections,
    tokenizers,
    embed,
    arguments=arguments,
    options={"num_frames": 1},
    pictures=middle,
    frames="videos of one frame",
    further=("LTXImageToVideoPipeline",),
    denoisers=("transformer",),
)
