"""An attack without words: does the model hold a path from some noise to the concept's own pictures?

TINA (arXiv 2603.17828). An edit changes what words do. Told nothing, a model still draws a picture x from some first
noise, and that noise can be computed. DDIM is inverted step by step. z_t lies one level above z_(t-1) and is the fixed
point of

    z_t  =  f(z_t)  =  C1(t) z_(t-1)  +  C2(t) e(z_t, t, no words)

The usual inversion puts z_(t-1) in the place of z_t on the right, and its error grows from level to level. So here z_t
is refined by AdamW on |f(z_t) - z_t|^2. From the noise at the top the model is then asked for nothing, by plain DDIM.

The source is a published summary of the paper with its formulas and settings. The authors' code was not at hand. This
departs from them where a model does not predict noise: what it predicts is first turned into noise.

A model that never saw the concept can be led back to a picture as well, as to any picture near those that it draws. So
only the excess over such a model says anything. The attack draws nothing at random: a second seed would repeat it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from expunge.engine.errors import ConceptError
from expunge.engine.models.denoising import Level, latents_of, predicted, still, taken_for
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, worth
from expunge.engine.probes.attacks.compared.paths import descended, levels, nothing_said, pictures_of
from expunge.engine.probes.prompts.families import Subject

PUBLISHED: dict[str, Any] = {"steps": 50, "refinements": 25}


@dataclass(frozen=True)
class Tina(Budgeted):
    """The way back to `pictures` references and forth again, in `steps` levels of noise.

    Each level takes `refinements` steps of AdamW at `rate`. The defaults take a sixth of the published budget
    (`PUBLISHED`), in which 1,250 gradients are computed for each picture.
    """

    name: ClassVar[str] = "tina"
    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    pictures: int = 8
    steps: int = 20
    refinements: int = 10
    rate: float = 1e-3
    sampler: Sampler = field(default_factory=Sampler)

    @property
    def cost(self) -> int:
        return self.pictures

    @property
    def effort(self) -> float:
        each = worth(self.sampler, forward=2 * self.steps, trained=self.steps * self.refinements)
        return self.pictures * (1 + each)

    def grown(self, times: float) -> Self:
        return replace(self, pictures=math.ceil(self.pictures * times))

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Go back to noise from each reference and forth again.

        Raises:
            UnknownArchitecture: the family's denoising loss is not known.
            ConceptError: there are fewer references than pictures.
        """
        if len(references) < self.pictures:
            raise ConceptError(
                f"{subject.id}: tina leads back to {self.pictures} pictures and has {len(references)}; give more"
            )
        wanted = latents_of(pipeline, references[: self.pictures]).float()
        with still(pipeline):
            drawn = [self.regenerated(pipeline, block) for block in wanted.split(self.sampler.batch)]
        return [
            Attempt(subject, self.name, f"{self.name}: picture {number + 1}", seed, picture)
            for number, picture in enumerate(np.concatenate(drawn))
        ]

    def regenerated(self, pipeline: Any, latents: Tensor) -> np.ndarray:
        """Return what the model draws, told nothing, from the noise that leads to these latents [n, c, h, w]."""
        told, path = nothing_said(pipeline, len(latents)), levels(pipeline, self.steps)
        noise = self.inverted(pipeline, latents, path, told)
        with torch.no_grad():
            ends = descended(pipeline, noise, path, lambda state, time: predicted(pipeline, state, time, told))
        return pictures_of(pipeline, ends)

    def inverted(self, pipeline: Any, latents: Tensor, path: Sequence[Level], told: Mapping[str, Tensor]) -> Tensor:
        """Return the states at the top of a path that comes down to `latents`."""
        state = latents
        for below, here in pairwise(reversed(path)):
            with torch.no_grad():
                found = above(pipeline, state, state, below, here, told)
            found.requires_grad_()
            optimizer = torch.optim.AdamW([found], lr=self.rate)
            for _ in range(self.refinements):
                off = above(pipeline, found, state, below, here, told) - found
                (found.grad,) = torch.autograd.grad(off.square().sum(), [found])
                optimizer.step()
            state = found.detach()
        return state


def above(pipeline: Any, guess: Tensor, state: Tensor, below: Level, here: Level, told: Mapping[str, Tensor]) -> Tensor:
    """Return f of the equation: the state `here`, one level above `state`, by what the model predicts for a guess."""
    _, noise = taken_for(pipeline, guess, predicted(pipeline, guess, here.time, told), here)
    ratio = here.signal / below.signal
    return ratio * state + (here.spread - ratio * below.spread) * noise


ATTACK = Tina
