"""CogView3-Plus: T5 states enter by `patch_embed.text_proj`, which stands before all blocks, as in CogVideoX.

Guidance leads away from zeros and not from the states of a prompt. No change of a matrix changes zeros.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from expunge.engine.families import cogvideox, sd
from expunge.engine.families.base import Arguments, Family, reading

T5_TOKENS = 224  # the pipeline's default


def tokenizers(pipeline: Any, stream: int) -> tuple[Any, ...]:
    return (reading(pipeline.tokenizer, T5_TOKENS),)


def predict(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    """Return the denoiser's prediction for pictures of their own size, cut from nothing larger."""
    count, _, *size = noisy.shape
    sizes = noisy.new_tensor(size).mul(pipeline.vae_scale_factor).expand(count, 2)
    states, corner = arguments["prompt_embeds"], noisy.new_zeros(count, 2)
    return pipeline.transformer(noisy, states, times.expand(count), sizes, sizes, corner).sample


FAMILY = Family(
    "cogview3-plus",
    ("CogView3PlusPipeline",),
    cogvideox.projections,
    tokenizers,
    sd.embed,
    predict=predict,
    denoisers=("transformer",),
)
