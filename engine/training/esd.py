"""Erased Stable Diffusion, ESD-x (Gandikota et al., ICCV 2023, arXiv 2303.07345, equation 7): cross-attention is
fine-tuned until the prompt of a concept is denoised away from it, as guidance with a negative scale would do.

    e(x_t, c)  ->  e*(x_t) - eta (e*(x_t, c) - e*(x_t))

e* is the model as it was, e the one in training, c a target's name, and x_t is taken from the path on which e itself
denoises c. The coefficients on the right sum to 1, so the aim is the same for whatever affine function of the noise a
model predicts (noise itself or velocity); the error is measured in the model's own prediction. Of several targets one
is drawn for each sample. What is retained has no part in it, nor do anchors: the aim is always the empty prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from engine.denoising import predicted
from engine.editors.base import at_least
from engine.families import Arguments
from engine.spec import EditSpec
from engine.training.base import Report, Step, Trainer
from engine.training.denoiser import chosen, ddim, in_pairs, noise_like_latents, read, take, unconditional, walk
from engine.wordings import phrasing, target_pairs


@dataclass(frozen=True)
class EsdSettings:
    """`eta` of the equation; `alpha`, the guidance under which x_t is made in `steps` DDIM steps; `iterations` of Adam
    at `rate` with `batch` samples each; `bare`: names alone instead of the templates. Defaults are the published ones.
    """

    eta: float = 1.0
    alpha: float = 3.0
    steps: int = 50
    iterations: int = 1000
    rate: float = 1e-5
    batch: int = 1
    bare: bool = True

    def __post_init__(self) -> None:
        at_least("esd", 1, steps=self.steps, batch=self.batch)


def train(pipeline: Any, student: Any, spec: EditSpec, settings: EsdSettings, report: Report) -> None:
    draws = torch.Generator().manual_seed(spec.seed)
    lines = phrasing(spec.erased, settings.bare)
    wordings = [[text.text for text, _ in target_pairs(target, lines(target.category))] for target in spec.targets]
    texts = [text for own in wordings for text in own]
    conditions, scheduler = read(pipeline, texts), ddim(pipeline, settings.steps)
    optimiser = torch.optim.Adam(chosen(student.unet, "cross-attention").values(), lr=settings.rate)
    nothing = unconditional(pipeline, settings.batch)
    for step in range(settings.iterations):
        drawn = [texts.index(_drawn(_drawn(wordings, draws), draws)) for _ in range(settings.batch)]
        said = take(conditions, drawn)
        until = int(torch.randint(settings.steps, (), generator=draws))
        noise = noise_like_latents(student.unet, settings.batch, draws)
        noisy = walk(student, scheduler, said, nothing, noise, settings.alpha, until)
        time = scheduler.timesteps[until]
        aim = away(pipeline, noisy, time, said, nothing, settings.eta)
        loss = F.mse_loss(predicted(student, noisy, time, said), aim)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        report(Step("training", step + 1, settings.iterations, loss.item()))


@torch.no_grad()
def away(
    pipeline: Any, noisy: torch.Tensor, time: torch.Tensor, said: Arguments, nothing: Arguments, eta: float
) -> torch.Tensor:
    """The right-hand side: from the unconditional prediction as far again on the other side of it, times `eta`."""
    without, told = in_pairs(pipeline, noisy, time, nothing, said)
    return without - eta * (told - without)


def _drawn(items: list[Any], draws: torch.Generator) -> Any:
    return items[int(torch.randint(len(items), (), generator=draws))]


TRAINER = Trainer("esd", EsdSettings, train)
