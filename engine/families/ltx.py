"""LTX text to video: T5 states enter by `caption_projection.linear_1`, which stands before all blocks.

The blocks' `attn2` does not attend to padding, and needs a mask for that. Here the states of padding are set to zeros,
and the mask is read off them. T5 attends to padding in the first pipeline, and does not in that of version 0.9.5 and
later. A model is judged by single frames: it is asked for videos of one frame.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from expunge.engine.families import sd
from expunge.engine.families.base import (
    Family,
    Projection,
    entrance,
    reading,
    silenced,
    spoken,
    with_mask,
    without_padding,
)
from expunge.engine.families.video import ONE_FRAME

FIRST, LATER = "LTXPipeline", "LTXConditionPipeline"
T5_TOKENS, LATER_TOKENS = 128, 256  # the pipelines' defaults


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.caption_projection.linear_1", (0,))]


def is_later(pipeline: Any) -> bool:
    return type(pipeline).__name__ == LATER


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, LATER_TOKENS if is_later(pipeline) else T5_TOKENS),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    if is_later(pipeline):
        return without_padding(pipeline, ids)
    return silenced(sd.embed(pipeline, ids, stream), spoken(pipeline.tokenizer, ids))


FAMILY = Family(
    "ltx",
    (FIRST, LATER),
    projections,
    tokenizers,
    embed,
    arguments=with_mask,
    further=("LTXImageToVideoPipeline",),
    denoisers=("transformer",),
    **ONE_FRAME,
)
