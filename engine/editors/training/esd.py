"""Erased Stable Diffusion, ESD-x (Gandikota et al., ICCV 2023, arXiv 2303.07345, equation 7).

Cross-attention is fine-tuned until the prompt of a concept is denoised away from it, as guidance with a negative scale
would do.

    e(x_t, c)  ->  e*(x_t) - eta (e*(x_t, c) - e*(x_t))

e* is the model as it was, e the one in training, c a target's name, and x_t is taken from a path on which c is
denoised: by e* in the authors' script of today, by e in the paper and their first script. The coefficients on the right
sum to 1. So the aim is the same for any affine function of the noise that a model predicts (noise itself or velocity),
and the error is measured in the model's own prediction. Of several targets one is drawn for each sample. What is
retained has no part in it, and neither have anchors: the aim is always the empty prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from expunge.engine.editors.base import at_least
from expunge.engine.editors.training.base import Run, Step, Trainer
from expunge.engine.editors.training.denoiser import (
    at_once,
    chosen,
    ddim,
    in_pairs,
    is_trained,
    noise_like_latents,
    read,
    shared_out,
    take,
    unconditional,
    walk,
)
from expunge.engine.families import Arguments
from expunge.engine.models.denoising import predicted
from expunge.engine.spec import EditSpec
from expunge.engine.text.templates import phrasing, target_pairs

PARAMETERS = "cross-attention"
FROZEN, TRAINED = "frozen", "trained"
PUBLISHED: dict[str, dict[str, Any]] = {"first release": {"walks": TRAINED, "iterations": 1000, "rate": 1e-5}}
"""The settings of the authors' scripts, where they differ from the defaults."""


@dataclass(frozen=True)
class EsdSettings:
    """Settings of ESD.

    `eta` is that of the equation. x_t is made under the guidance `alpha` in `steps` DDIM steps by the model that
    `walks`, the `frozen` or the `trained` one. There are `iterations` of Adam at `rate` with `batch` samples each.
    `bare`: names alone instead of the templates. The defaults are those of the authors' `esd_sd.py`.
    """

    eta: float = 1.0
    alpha: float = 3.0
    steps: int = 50
    walks: str = field(default=FROZEN, metadata={"choices": (FROZEN, TRAINED)})
    iterations: int = 200
    rate: float = 5e-5
    batch: int = 1
    bare: bool = True

    def __post_init__(self) -> None:
        at_least("esd", 1, steps=self.steps, batch=self.batch)


@dataclass(frozen=True)
class Sample:
    """The input of one iteration: the texts at `drawn`, denoised from `noise` for `until` steps."""

    drawn: list[int]
    until: int
    noise: Tensor


def train(pipeline: Any, student: Any, spec: EditSpec, settings: EsdSettings, run: Run) -> None:
    """Train the student's cross-attention."""
    lines = phrasing(spec.erased, settings.bare)
    wordings = [[text.text for text, _ in target_pairs(target, lines(target.category))] for target in spec.targets]
    texts = [text for own in wordings for text in own]
    conditions, scheduler = read(pipeline, texts), ddim(pipeline, settings.steps)
    optimiser = torch.optim.Adam(chosen(student.unet, PARAMETERS).values(), lr=settings.rate)
    nothing = unconditional(pipeline, settings.batch)
    samples = _samples(student.unet, wordings, texts, spec.seed, settings)
    frozen = settings.walks == FROZEN
    starts = _walked(pipeline, scheduler, conditions, samples, settings, run) if frozen else {}
    for step, sample in enumerate(samples):
        said, time = take(conditions, sample.drawn), scheduler.timesteps[sample.until]
        if frozen:
            noisy = starts[step]
        else:
            until = [sample.until] * settings.batch
            noisy = walk(student, scheduler, said, nothing, sample.noise, settings.alpha, until)
        aim = away(pipeline, noisy, time, said, nothing, settings.eta)
        loss = F.mse_loss(predicted(student, noisy, time, said), aim)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        run.report(Step("training", step + 1, settings.iterations, loss.item()))


def _samples(unet: Any, wordings: list[list[str]], texts: list[str], seed: int, settings: EsdSettings) -> list[Sample]:
    """Return for each iteration where it starts, and the places of its wordings among the texts, each of one target."""
    draws, samples = torch.Generator().manual_seed(seed), []
    for _ in range(settings.iterations):
        drawn = [texts.index(_drawn(_drawn(wordings, draws), draws)) for _ in range(settings.batch)]
        until = int(torch.randint(settings.steps, (), generator=draws))
        samples.append(Sample(drawn, until, noise_like_latents(unet, settings.batch, draws)))
    return samples


def _walked(
    pipeline: Any,
    scheduler: Any,
    conditions: Arguments,
    samples: Sequence[Sample],
    settings: EsdSettings,
    run: Run,
) -> dict[int, Tensor]:
    """Return the end of each sample's walk of the frozen model, by the sample's place.

    Samples that go about equally far walk together.
    """
    order = sorted(range(len(samples)), key=lambda place: samples[place].until)
    size = max(1, at_once(pipeline.unet) // settings.batch)
    blocks = [order[start : start + size] for start in range(0, len(order), size)]
    nothing = unconditional(pipeline, size * settings.batch)

    def walked(block: list[int]) -> Tensor:
        own = [samples[place] for place in block]
        said = take(conditions, [text for sample in own for text in sample.drawn])
        until = [sample.until for sample in own for _ in sample.drawn]
        noise = torch.cat([sample.noise for sample in own])
        return walk(pipeline, scheduler, said, take(nothing, range(len(until))), noise, settings.alpha, until)

    ends: dict[int, Tensor] = {}
    for block, states in zip(blocks, shared_out(walked, blocks, run.threads), strict=True):
        ends |= dict(zip(block, states.split(settings.batch), strict=True))
        run.report(Step("walks", len(ends), len(samples)))
    return ends


@torch.no_grad()
def away(
    pipeline: Any, noisy: torch.Tensor, time: torch.Tensor, said: Arguments, nothing: Arguments, eta: float
) -> torch.Tensor:
    """Return the right-hand side of the equation.

    It lies beyond the unconditional prediction, `eta` times as far as the prompt's prediction lies on this side.
    """
    without, prompted = in_pairs(pipeline, noisy, time, nothing, said)
    return without - eta * (prompted - without)


def _drawn(items: list[Any], draws: torch.Generator) -> Any:
    return items[int(torch.randint(len(items), (), generator=draws))]


TRAINER = Trainer("esd", EsdSettings, train, lambda settings: partial(is_trained, PARAMETERS))
