"""AuraFlow: the states of a T5 enter by `context_embedder`, which stands before all blocks.

T5 does not attend to padding, and the states of padding are zeros. No change of a matrix changes zeros, though the
blocks attend to them. The pipeline asks for a mask beside the states and does not use it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from expunge.engine.families.base import Arguments, Family, Projection, entrance, reading, with_mask, without_padding

T5_TOKENS = 256  # the pipeline's default


def projections(pipeline: Any) -> list[Projection]:
    return [entrance(pipeline, "transformer.context_embedder", (0,))]


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, T5_TOKENS),)


def predict(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    """Return the denoiser's prediction.

    As in the pipeline, the time is given as a share of a thousand steps, 1 for noise alone.
    """
    share = (times / 1000).expand(len(noisy)).to(noisy)
    return pipeline.transformer(noisy, arguments["prompt_embeds"], share).sample


FAMILY = Family(
    "aura-flow",
    ("AuraFlowPipeline",),
    projections,
    tokenizers,
    without_padding,
    arguments=with_mask,
    predict=predict,
    denoisers=("transformer",),
)
