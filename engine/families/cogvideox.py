"""CogVideoX text to video: T5 states enter by `patch_embed.text_proj`, which stands before all blocks.

T5 attends to padding, and so do the blocks. A model is judged by single frames: it is asked for videos of one frame.
"""

from __future__ import annotations

from typing import Any

from expunge.engine.families import sd
from expunge.engine.families.base import Family, Projection, entrance, reading
from expunge.engine.families.video import ONE_FRAME

T5_TOKENS = 226  # the pipelines' default


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.patch_embed.text_proj", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, T5_TOKENS),)


FAMILY = Family(
    "cogvideox",
    ("CogVideoXPipeline",),
    projections,
    tokenizers,
    sd.embed,
    further=("CogVideoXImageToVideoPipeline", "CogVideoXVideoToVideoPipeline", "CogVideoXFunControlPipeline"),
    denoisers=("transformer",),
    **ONE_FRAME,
)
