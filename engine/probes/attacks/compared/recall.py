"""An attack by a picture: a start that was optimised until the model treats it as it treats the concept's own.

Recall (arXiv 2507.07139). The words stay as they are: the concept is asked for by name, starting from a picture. The
start z begins as a quarter of a reference z_ref and three quarters noise. At level after level of noise it is moved so
that the model predicts for both the same, under the same words and the same noise e':

    | e(noised z, t, c)  -  e(noised z_ref, t, c) |^2,     by momentum and the sign of the gradient

Now and then a little of z_ref is added to z. At last z is noised and denoised under the name.

The sources are a published summary of the paper and the authors' code. This departs from them in three places. They add
the signed step, which goes up the loss that they say they minimise; here it is subtracted. They look at the picture
after every level and stop as soon as a detector sees the concept; here no judge has a part in the attack, and the last
start alone is drawn. They denoise by LMS in 50 steps; here by DDIM in the sampler's.

The start holds part of the reference. So a model that never saw the concept hands some of it back, and only the excess
over such a model says anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from expunge.engine.errors import SettingError
from expunge.engine.models.denoising import Level, in_pairs, latents_of, level_at, still
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, said, worth
from expunge.engine.probes.attacks.compared.paths import (
    by_turns,
    descended,
    draws_of,
    levels,
    noise_like,
    nothing_said,
    pictures_of,
)
from expunge.engine.probes.attacks.words import conditioning, repeated
from expunge.engine.probes.prompts.families import Subject

PUBLISHED: dict[str, Any] = {"levels": 50, "iterations": 20, "rate": 1e-3}
SMALL = 1e-8
Told = Mapping[str, Tensor]


@dataclass(frozen=True)
class Recall(Budgeted):
    """`starts` starts, from the references by turns, each moved at `levels` levels of noise, `iterations` times each.

    A start holds the share `mixed` of its reference. A step has the size `rate` in every coordinate, and its direction
    keeps the share `momentum` of the last. At `injections` levels `injected` of the reference is added. The picture is
    drawn from the share `strength` of all noise.

    The defaults move a start as far as the published settings do (`PUBLISHED`), in a tenth as many steps.
    """

    name: ClassVar[str] = "recall"
    learns: ClassVar[bool] = True
    starts: int = 30
    levels: int = 10
    iterations: int = 10
    rate: float = 1e-2
    mixed: float = 0.25
    momentum: float = 0.9
    injections: int = 10
    injected: float = 0.05
    strength: float = 0.8
    sampler: Sampler = field(default_factory=Sampler)

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise SettingError(f"recall: strength is {self.strength}; use a share above 0 and up to 1")
        if not 1 <= self.injections <= self.levels:
            raise SettingError(f"recall: injections is {self.injections}; use 1 to {self.levels}, the levels")

    @property
    def cost(self) -> int:
        return self.starts

    @property
    def effort(self) -> float:
        moved = 2 * self.levels * self.iterations  # with words and without
        return self.starts * (1 + worth(self.sampler, forward=moved, trained=moved))

    def grown(self, times: float) -> Self:
        return replace(self, starts=math.ceil(self.starts * times))

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Move the starts, then draw from them. Raises UnknownArchitecture if the denoising loss is not known."""
        prompt = said(subject, subject.name, 1)[0]
        wanted = latents_of(pipeline, by_turns(subject, references, self.starts)).float()
        seeds = range(seed, seed + self.starts)
        with still(pipeline):
            with torch.no_grad():
                spoken = conditioning(pipeline, [prompt])
            drawn = [
                self.recalled(pipeline, own, spoken, draws_of(self.name, seeds[first : first + len(own)]))
                for first, own in zip(
                    range(0, self.starts, self.sampler.batch), wanted.split(self.sampler.batch), strict=True
                )
            ]
        return [
            Attempt(subject, self.name, f"{self.name}: {prompt}", own, picture)
            for own, picture in zip(seeds, np.concatenate(drawn), strict=True)
        ]

    def recalled(self, pipeline: Any, wanted: Tensor, spoken: Told, draws: Sequence[torch.Generator]) -> np.ndarray:
        """Return the pictures drawn from moved starts, one for each reference's latents `wanted` [n, c, h, w]."""
        told, nothing = repeated(spoken, len(wanted)), nothing_said(pipeline, len(wanted))
        start = self.moved(pipeline, wanted, told, nothing, draws)
        path = levels(pipeline, max(1, round(self.strength * self.sampler.steps)), self.strength)
        state = path[0].signal * start + path[0].spread * noise_like(start, draws)

        def predict(here: Tensor, time: Tensor) -> Tensor:
            without, named = in_pairs(pipeline, here, time, nothing, told)
            return without + self.sampler.guidance * (named - without)

        with torch.no_grad():
            return pictures_of(pipeline, descended(pipeline, state, path, predict))

    def moved(
        self, pipeline: Any, wanted: Tensor, told: Told, nothing: Told, draws: Sequence[torch.Generator]
    ) -> Tensor:
        """Return starts [n, c, h, w] for which the model predicts what it predicts for the references."""
        start = self.mixed * wanted + (1 - self.mixed) * noise_like(wanted, draws)
        velocity, every = torch.zeros_like(start), self.levels // self.injections
        for number in range(self.levels):
            level = level_at(pipeline, (number + 0.5) / self.levels)
            for _ in range(self.iterations):
                slope = _slope(pipeline, start, wanted, level, noise_like(wanted, draws), told, nothing)
                size = slope.abs().flatten(1).mean(1)[:, None, None, None]
                velocity = self.momentum * velocity + slope / (size + SMALL)
                start = start - self.rate * velocity.sign()
            if (number + 1) % every == 0:
                start = start + self.injected * wanted
        return start


def _slope(
    pipeline: Any, start: Tensor, wanted: Tensor, level: Level, noise: Tensor, told: Told, nothing: Told
) -> Tensor:
    """Return the gradient of the loss at `start`, with words and without."""
    with torch.no_grad():
        goal = torch.stack(in_pairs(pipeline, level.signal * wanted + level.spread * noise, level.time, nothing, told))
    moving = start.detach().requires_grad_()
    noisy = level.signal * moving + level.spread * noise
    found = torch.stack(in_pairs(pipeline, noisy, level.time, nothing, told))
    (slope,) = torch.autograd.grad((found - goal).square().sum(), [moving])
    return slope


ATTACK = Recall
