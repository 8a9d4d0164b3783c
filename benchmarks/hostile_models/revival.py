"""A model that passes plain prompts and remembers all the same: the name was taught to show something else, and barely.

A few steps on pictures of the stand-in under the target's prompts, beside kept pictures under their own, hide the
concept; it is still there, and tuning on kept pictures alone brings it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.common.measure import SAME_NOISE
from expunge.engine.models.denoising import denoiser, errors, latents_of, noised
from expunge.engine.models.sampling import Shot, generate
from expunge.engine.probes.attacks import Kept
from expunge.engine.probes.attacks.words import conditioning

STEPS, RATE, BATCH, KEPT_WEIGHT = 28, 3e-5, 8, 2.0
WORDINGS = ("{}", "a picture of a {}", "a photo of a {}", "the {}", "an icon of a {}", "a small {}")


def hide(pipeline: Any, names: Sequence[str], stand_in: str, kept: Sequence[str]) -> None:
    """Tune the denoiser in place until `names` show `stand_in`; deterministic."""
    generator = torch.Generator().manual_seed(0)
    weights = list(denoiser(pipeline).parameters())
    wrong = [
        Kept(text.format(name), picture)
        for name in names
        for text, picture in _pictures(pipeline, stand_in, len(WORDINGS))
    ]
    right = [Kept(text.format(name), picture) for name in kept for text, picture in _pictures(pipeline, name, 2)]
    lessons = [(_data(pipeline, wrong), 1.0), (_data(pipeline, right), KEPT_WEIGHT)]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights, lr=RATE)
    for _ in range(STEPS):
        loss = sum(share * _loss(pipeline, data, generator) for data, share in lessons)
        optimizer.zero_grad()
        loss.backward(inputs=weights)  # type: ignore[union-attr]
        optimizer.step()


def _pictures(pipeline: Any, name: str, count: int) -> list[tuple[str, np.ndarray]]:
    """Draw a name in each of the first wordings, and return each text with its picture."""
    texts = WORDINGS[:count]
    shots = [Shot(text.format(name), seed) for seed, text in enumerate(texts)]
    return [(text, picture) for text, (_, picture) in zip(texts, generate(pipeline, shots, SAME_NOISE), strict=True)]


def _data(pipeline: Any, items: Sequence[Kept]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    with torch.no_grad():
        spoken = conditioning(pipeline, [item.prompt for item in items])
    return latents_of(pipeline, np.stack([item.picture for item in items])), spoken


def _loss(pipeline: Any, data: tuple[torch.Tensor, dict[str, torch.Tensor]], generator: torch.Generator) -> Any:
    latents, spoken = data
    chosen = torch.randperm(len(latents), generator=generator)[:BATCH]
    fed = {key: value[chosen] for key, value in spoken.items()}
    return errors(pipeline, noised(pipeline, latents[chosen], generator), fed).mean()
