"""Deterministic steps along a model's levels of noise (DDIM, arXiv 2010.02502), and the pictures of latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.engine.files.digests import json_digest
from expunge.engine.models.denoising import Level, level_at, taken_for
from expunge.engine.models.sampling import as_bytes
from expunge.engine.probes.attacks.base import check_references
from expunge.engine.probes.attacks.words import conditioning, repeated
from expunge.engine.probes.prompts.families import Subject

Predict = Callable[[Tensor, Tensor], Tensor]
"""Takes states [n, c, h, w] and a time; returns the prediction for them."""


def levels(pipeline: Any, steps: int, share: float = 1.0) -> list[Level]:
    """Return `steps` + 1 levels, from `share` of the whole range of noise down to none."""
    return [level_at(pipeline, share * (steps - step) / steps) for step in range(steps + 1)]


def descended(pipeline: Any, state: Tensor, path: Sequence[Level], predict: Predict) -> Tensor:
    """Return the states at the end of a path of levels, without any noise drawn on the way."""
    for here, after in pairwise(path):
        clean, noise = taken_for(pipeline, state, predict(state, here.time), here)
        state = after.signal * clean + after.spread * noise
    return state


@torch.no_grad()
def nothing_said(pipeline: Any, count: int) -> dict[str, Tensor]:
    """Return the denoiser's text input when the pipeline is asked for nothing, `count` times.

    It is the empty prompt, or zeros where the configuration says so, as Stable Diffusion XL's does.
    """
    empty = repeated(conditioning(pipeline, [""]), count)
    if getattr(pipeline.config, "force_zeros_for_empty_prompt", False):
        return {name: torch.zeros_like(rows) for name, rows in empty.items()}
    return empty


@torch.no_grad()
def pictures_of(pipeline: Any, latents: Tensor) -> np.ndarray:
    """Return the pictures of latents [n, c, h, w], uint8 [n, height, width, 3]; the inverse of `latents_of`."""
    vae = pipeline.vae
    plain = latents / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0)
    pixels = torch.cat([vae.decode(own[None].to(vae.device, vae.dtype)).sample for own in plain])
    return as_bytes((pixels.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy())


def draws_of(purpose: str, seeds: Sequence[int]) -> list[torch.Generator]:
    """Return draws of their own for each seed, so that a picture does not depend on its batch."""
    return [torch.Generator().manual_seed(int(json_digest([purpose, seed])[:15], 16)) for seed in seeds]


def noise_like(latents: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
    """Return normal noise, one row from each of the `draws`, in float32."""
    return torch.stack([torch.randn(latents.shape[1:], generator=own) for own in draws]).to(latents.device)


def by_turns(subject: Subject, references: np.ndarray, count: int) -> np.ndarray:
    """Return `count` references [n, height, width, 3], by turns. Raises ConceptError without any."""
    check_references(subject, references)
    return references[np.arange(count) % len(references)]
