"""Wan text to video: T5 states enter by `condition_embedder.text_embedder.linear_1`, which stands before all blocks.

Padding is not attended to, and its states are zeros. The blocks' `attn2` act on the embedder's output. So a concept
that it sends to its anchor is gone from all of them. Wan 2.2 denoises with two transformers by turns, and both are
edited. A model is judged by single frames: it is asked for videos of one frame.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from expunge.engine.errors import MissingExtra, UnknownArchitecture
from expunge.engine.families.base import Family, Projection, entrance, reading, without_padding
from expunge.engine.families.video import ONE_FRAME

DENOISERS = ("transformer", "transformer_2")
T5_TOKENS = 512  # the pipeline's default


def projections(pipeline: Any) -> list[Projection]:
    present = [name for name in DENOISERS if getattr(pipeline, name, None) is not None]
    if not present:
        raise UnknownArchitecture("there is no transformer to edit; open the model whole")
    return [entrance(pipeline, f"{name}.condition_embedder.text_embedder.linear_1", (0,)) for name in present]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, T5_TOKENS),)


def cleaned(text: str) -> str:
    """Return the text as the pipeline cleans it.

    Raises:
        MissingExtra: the pipeline reads the text in one way with ftfy and in another without, and ftfy is not
            installed.
    """
    if not text.isascii() and find_spec("ftfy") is None:
        raise MissingExtra(f"Wan's pipelines clean {text!r} by ftfy where it is installed: `pip install ftfy`")
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean  # loads slowly; with a pipeline open, it is loaded

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
