"""What a model family declares: where text enters it, and what each entrance is fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class Projection:
    """A text key or value matrix of a denoiser: `weight` is [d_out, d], fed by text stream number `stream`."""

    name: str
    kind: Literal["key", "value"]
    weight: nn.Parameter
    stream: int = 0


@dataclass(frozen=True)
class Family:
    """One way text enters a denoiser.

    `pipelines` are the diffusers classes it covers. `projections(pipeline)` lists the matrices in module order.
    `tokenizer(pipeline, stream)` is the tokenizer of a text stream and `embed(pipeline, ids, stream)` what the denoiser
    is fed for token ids [n, T]: every token's embedding, [n, T, d].
    """

    name: str
    pipelines: tuple[str, ...]
    projections: Callable[[Any], list[Projection]]
    tokenizer: Callable[[Any, int], Any]
    embed: Callable[[Any, Tensor, int], Tensor]
