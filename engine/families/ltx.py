"""LTX text to video: T5 states enter by `caption_projection.linear_1`, which stands before all blocks.

T5 attends to padding, and the blocks' `attn2` does not: it is told by a mask, which is read off the states here, for
those of padding are set to zeros. A model is judged by single frames, which it draws when asked for a video of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from engine.families.base import Family, Projection, entrance, reading
from engine.families.video import middle

T5_TOKENS = 128  # which the pipeline reads unless told otherwise


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.caption_projection.linear_1", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, T5_TOKENS),)


def embed(pipeline: Any, ids: Tensor, stream: int) -> Tensor:
    states = pipeline.text_encoder(ids.to(pipeline.text_encoder.device))[0]
    spoken = ids.to(states.device) != pipeline.tokenizer.pad_token_id
    return states * spoken[..., None].to(states.dtype)


def arguments(pipeline: Any, states: Sequence[Tensor]) -> dict[str, Tensor]:
    return {"prompt_embeds": states[0], "prompt_attention_mask": (states[0] != 0).any(-1)}


FAMILY = Family(
    "ltx",
    ("LTXPipeline",),
    projections,
    tokenizers,
    embed,
    arguments=arguments,
    options={"num_frames": 1},
    pictures=middle,
    further=("LTXImageToVideoPipeline",),
    denoisers=("transformer",),
)
