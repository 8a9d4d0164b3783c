"""Wan text to video: T5 states enter by `condition_embedder.text_embedder.linear_1`, which stands before all blocks.

Padding is not attended to and its states are zeros. The blocks' `attn2` act on what that embedder made of the text,
so what it sends to its anchor is gone from them all. Wan 2.2 denoises with two transformers by turns; both are edited.
A model is judged by single frames, which it draws when asked for a video of one.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from expunge.engine.errors import MissingExtra, UnknownArchitecture
from expunge.engine.families.base import Family, Projection, entrance, reading, without_padding
from expunge.engine.families.video import ONE_FRAME

DENOISERS = ("transformer", "transformer_2")
T5_TOKENS = 512  # which the pipeline reads unless told otherwise


def projections(pipeline: Any) -> list[Projection]:
    present = [name for name in DENOISERS if getattr(pipeline, name, None) is not None]
    if not present:
        raise UnknownArchitecture("there is no transformer to edit; open the model whole")
    return [entrance(pipeline, f"{name}.condition_embedder.text_embedder.linear_1", (0,)) for name in present]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, T5_TOKENS),)


def cleaned(text: str) -> str:
    """MissingExtra for what the pipeline reads in one way where ftfy is installed and in another where it is not."""
    if not text.isascii() and find_spec("ftfy") is None:
        raise MissingExtra(f"Wan's pipelines clean {text!r} by ftfy where it is installed: `pip install ftfy`")
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean  # loads slowly, and who has a pipeline has it loaded

    return prompt_clean(text)


FAMILY = Family(
    "wan",
    ("WanPipeline",),
    projections,
    tokenizers,
    without_padding,
    cleaned=cleaned,
    further=("WanImageToVideoPipeline", "WanVideoToVideoPipeline", "WanVACEPipeline"),
    denoisers=DENOISERS,
    **ONE_FRAME,
)
