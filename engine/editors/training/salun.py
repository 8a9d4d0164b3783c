"""Saliency unlearning, SalUn (Fan et al., ICLR 2024, arXiv 2310.12508, equations 3, 4 and 6), for text-to-image models.

First comes a mask. It holds those of all weights on which the training loss of the pictures to forget, at the untouched
model, depends most. Then the model is fine-tuned under it. Pictures of a target c are denoised under its name as under
another's c', and pictures of what is kept are learnt as ever:

    min  E |e(x_t, c) - e(x_t, c')|^2  +  beta  E |e(x_r,t, c_r) - noise|^2        over the weights in the mask

The prediction for c' is held fixed in each step, as in the released code. The pictures are latents that the untouched
model draws under the names of targets and of what is retained. c' is a target's anchor or, where that is empty, a
retained concept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.engine.editors.base import at_least
from expunge.engine.editors.training.base import Run, Step, Trainer
from expunge.engine.editors.training.denoiser import (
    PARAMETERS,
    chosen,
    ddim,
    draw_latents,
    is_trained,
    read,
    take,
)
from expunge.engine.errors import SettingError
from expunge.engine.families import Arguments
from expunge.engine.models.denoising import errors, noised, predicted
from expunge.engine.spec import EditSpec
from expunge.engine.text.templates import phrasing, target_pairs, worded


@dataclass(frozen=True)
class SalunSettings:
    """Settings of SalUn.

    `beta` is as above. `share` is that of the weights in the mask (the median as threshold is 0.5). `pictures` to
    forget, and as many to keep, are drawn in `steps` DDIM steps under `guidance`. There are `epochs` of Adam at `rate`
    over them, `batch` at a time. `parameters` may be in the mask. `bare`: names alone instead of the templates.

    The defaults are those of the published command for forgetting a class (its script alone has `beta` 0.1). There the
    pictures are photographs, about 900 a class.
    """

    beta: float = 0.5
    share: float = 0.5
    pictures: int = 800
    steps: int = 50
    guidance: float = 7.5
    epochs: int = 5
    rate: float = 1e-5
    batch: int = 8
    parameters: str = field(default="full", metadata={"choices": PARAMETERS})
    bare: bool = True

    def __post_init__(self) -> None:
        at_least("salun", 1, steps=self.steps, batch=self.batch)
        if not 0 < self.share <= 1:
            raise SettingError(f"salun.share is {self.share}; use a share above 0 and up to 1")
        if self.pictures < self.batch:
            raise SettingError(f"salun.pictures is {self.pictures}; use at least one batch of {self.batch}")


@dataclass(frozen=True)
class Drawn:
    """Latents [n, ...], the prompts they were drawn under and, of those to forget, the prompts to mistake them for."""

    latents: Tensor
    said: Arguments
    instead: Arguments

    def take(self, places: Sequence[int]) -> Drawn:
        return Drawn(self.latents[list(places)], take(self.said, places), take(self.instead, places))


def train(pipeline: Any, student: Any, spec: EditSpec, settings: SalunSettings, run: Run) -> None:
    """Draw the pictures, choose the mask, and train the student's weights in it."""
    draws = torch.Generator().manual_seed(spec.seed)
    scheduler = ddim(pipeline, settings.steps)
    forget, keep = rows(spec, settings)
    forgotten = draw(pipeline, scheduler, forget, settings, draws, "pictures to forget", run)
    kept = draw(pipeline, scheduler, keep, settings, draws, "pictures to keep", run)
    weights = chosen(student.unet, settings.parameters)
    mask = salient(student, weights, forgotten, settings, draws)
    optimiser = torch.optim.Adam(weights.values(), lr=settings.rate)
    per_epoch = settings.pictures // settings.batch
    whole = settings.epochs * per_epoch
    for step in range(whole):
        if step % per_epoch == 0:
            order = torch.randperm(settings.pictures, generator=draws).tolist()
        batch = order[step % per_epoch * settings.batch :][: settings.batch]
        loss = misled(student, forgotten.take(batch), draws)
        loss = loss + settings.beta * learnt(student, kept.take(batch), draws)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for name, parameter in weights.items():
            if parameter.grad is not None:
                parameter.grad *= mask[name]  # Adam leaves a weight that never had a gradient as it was, to the bit
        optimiser.step()
        run.report(Step("training", step + 1, whole, loss.item()))


def rows(spec: EditSpec, settings: SalunSettings) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the prompts of every picture to forget and of every picture to keep, in pairs.

    For a picture to forget, the pair is its prompt and the one to mistake it for. For one to keep, it is its prompt
    twice.

    Raises:
        SettingError: there are fewer pictures than targets.
    """
    if settings.pictures < len(spec.targets):
        raise SettingError(f"salun.pictures is {settings.pictures}; use one a target at least, {len(spec.targets)}")
    lines = phrasing(spec.erased, settings.bare)
    held = [worded(concept.names, lines(concept.category)) for concept in spec.retain]
    rounds = range(max(map(len, held), default=0))
    others = [own[turn % len(own)].text for turn in rounds for own in held] or [""]
    forget: list[tuple[str, str]] = []
    for place in range(settings.pictures):
        round_, turn = divmod(place, len(spec.targets))
        target = spec.targets[turn]
        pairs = target_pairs(target, lines(target.category))
        text, anchored = pairs[round_ % len(pairs)]
        forget.append((text.text, anchored.text if target.anchor else others[(round_ + turn) % len(others)]))
    keep = [others[place % len(others)] for place in range(settings.pictures)]
    return forget, [(text, text) for text in keep]


def draw(
    pipeline: Any,
    scheduler: Any,
    pairs: Sequence[tuple[str, str]],
    settings: SalunSettings,
    draws: torch.Generator,
    stage: str,
    run: Run,
) -> Drawn:
    """Return the latents of the pairs' first prompts, drawn by the model as it is."""
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    place, conditions = {text: number for number, text in enumerate(texts)}, read(pipeline, texts)
    said, instead = (take(conditions, [place[text] for text in column]) for column in zip(*pairs, strict=True))
    latents = draw_latents(pipeline, scheduler, said, settings.guidance, draws, stage, run)
    return Drawn(latents, said, instead)


def salient(
    student: Any,
    weights: Mapping[str, nn.Parameter],
    forgotten: Drawn,
    settings: SalunSettings,
    draws: torch.Generator,
) -> dict[str, Tensor]:
    """Return a mask of the entries whose gradient of the forgetting loss is among the largest `share`, as 0 and 1.

    The gradient is summed over one pass.
    """
    for start in range(0, settings.pictures, settings.batch):
        block = range(start, min(start + settings.batch, settings.pictures))
        learnt(student, forgotten.take(block), draws).backward()
    sizes = {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad.abs() for name, weight in weights.items()
    }
    everything = torch.cat([size.flatten() for size in sizes.values()])
    below = int((1 - settings.share) * len(everything))
    threshold = everything.kthvalue(below + 1).values if below else everything.new_zeros(())
    return {name: (size >= threshold).to(size.dtype) for name, size in sizes.items()}


def learnt(student: Any, drawn: Drawn, draws: torch.Generator) -> Tensor:
    """Return the loss that diffusion models are trained on, in the model's own kind of prediction."""
    return errors(student, noised(student, drawn.latents, draws), drawn.said).mean()


def misled(student: Any, drawn: Drawn, draws: torch.Generator) -> Tensor:
    """Return the distance of the prediction under a target's name from that under the name it is to be mistaken for."""
    task = noised(student, drawn.latents, draws)
    with torch.no_grad():
        aim = predicted(student, task.noisy, task.times, drawn.instead)
    return F.mse_loss(predicted(student, task.noisy, task.times, drawn.said), aim)


TRAINER = Trainer("salun", SalunSettings, train, lambda settings: partial(is_trained, settings.parameters))
