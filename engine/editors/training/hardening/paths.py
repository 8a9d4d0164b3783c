"""What the unedited model says along its own denoising paths, asked once before a training that must keep it.

A path is a deterministic walk (DDIM, arXiv 2010.02502) under classifier-free guidance. Each step asks the model with
the prompt and without words, so every state of a path comes with two answers that cost nothing more. A draw shifts the
levels of noise of each block of paths, so that together they cover the whole range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.training.base import Run, Step
from expunge.engine.editors.training.denoiser import (
    at_once,
    in_pairs,
    noise_like_latents,
    shared_out,
    take,
    unconditional,
)
from expunge.engine.families import Arguments
from expunge.engine.models.denoising import level_at, taken_for


@dataclass(frozen=True)
class Paths:
    """Paths of denoising, n of them with s states each.

    `states`, and what the model `said` with the path's words and `unsaid` without any, are each [n, s, c, h, w].
    `times` [n, s] are the levels. `ends` [n, c, h, w] are the latents of the pictures.
    """

    states: Tensor
    times: Tensor
    said: Tensor
    unsaid: Tensor
    ends: Tensor


@dataclass(frozen=True)
class Walk:
    """How paths are walked: in so many `steps`, under this `guidance`."""

    steps: int
    guidance: float


@torch.no_grad()
def walked(
    pipeline: Any, conditions: Arguments, how: Walk, draws: torch.Generator, stage: str, run: Run, precision: Any
) -> Paths:
    """Walk one path for each row of `conditions`. `precision` is a context in which the model is asked."""
    count, size = len(next(iter(conditions.values()))), at_once(pipeline.unet)
    blocks = [range(start, min(start + size, count)) for start in range(0, count, size)]
    begun = [
        (block, noise_like_latents(pipeline.unet, len(block), draws), torch.rand((), generator=draws).item())
        for block in blocks
    ]
    nothing = unconditional(pipeline, min(size, count))

    @torch.no_grad()
    def walk(part: tuple[range, Tensor, float]) -> Paths:
        block, noise, shift = part
        with precision():
            return _path(pipeline, take(conditions, block), take(nothing, range(len(block))), noise, how, shift)

    made: list[Paths] = []
    for block, paths in zip(blocks, shared_out(walk, begun, run.threads), strict=True):
        made.append(paths)
        run.report(Step(stage, block.stop, count))
    return joined(made)


def joined(parts: Sequence[Paths]) -> Paths:
    """Several sets of paths as one."""
    columns = zip(*((own.states, own.times, own.said, own.unsaid, own.ends) for own in parts), strict=True)
    return Paths(*(torch.cat(column) for column in columns))


def _path(pipeline: Any, conditions: Arguments, nothing: Arguments, state: Tensor, how: Walk, shift: float) -> Paths:
    shares = [(how.steps - step - shift) / how.steps for step in range(how.steps)]
    kept: list[tuple[Tensor, ...]] = []
    for share, after in zip(shares, [*shares[1:], 0.0], strict=True):
        level = level_at(pipeline, share)
        unsaid, said = in_pairs(pipeline, state, level.time, nothing, conditions)
        kept.append((state, level.time.expand(len(state)), said, unsaid))
        clean, noise = taken_for(pipeline, state, unsaid + how.guidance * (said - unsaid), level)
        following = level_at(pipeline, after)
        state = following.signal * clean + following.spread * noise
    states, times, said, unsaid = (torch.stack(column, 1) for column in zip(*kept, strict=True))
    return Paths(states, times, said, unsaid, state)
