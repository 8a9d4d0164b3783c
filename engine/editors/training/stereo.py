"""STEREO (Srivatsan et al., CVPR 2025, arXiv 2408.16807): search for words that bring a concept back, then erase once.

*Search thoroughly enough.* By turns the denoiser is trained to predict for the concept what it predicted without words,
and a textual inversion (arXiv 2208.01618) of the model that results learns a word that brings the concept back. The
next turn erases that word.

*Erase once.* The unedited denoiser is trained on the name and all words found:

    e(x_t, c)  ->  e*(x_t) + (g - 1) (e*(x_t, a) - e*(x_t)) - (g + 1) mean over c' of (e*(x_t, c') - e*(x_t))

e* is the model as it was and e the one in training. c is a name or a found word, c' runs through all of them, and a is
a sentence about the concept, in which the rest of the sentence is to be kept. x_t lies on a path that e walks under c.
What is retained has no part in it. Of several targets each has searches of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.engine.editors.base import at_least
from expunge.engine.editors.training.base import Run, Step, Trainer
from expunge.engine.editors.training.denoiser import (
    OTHER,
    PARAMETERS,
    chosen,
    ddim,
    draw_latents,
    in_pairs,
    is_trained,
    noise_like_latents,
    read,
    take,
    unconditional,
    walk,
)
from expunge.engine.families import Arguments
from expunge.engine.models.denoising import errors, noised, predicted
from expunge.engine.probes.attacks.words import conditioning, embedded_as, of_usual_length, words_without
from expunge.engine.spec import EditSpec
from expunge.engine.text.templates import phrasing, worded

PAINTED = 7.5  # guidance for the pictures of a concept's gallery
Aim = Callable[[Tensor, Tensor, Arguments], Tensor]


@dataclass(frozen=True)
class StereoSettings:
    """Settings of STEREO.

    There are `searches` turns of erasing and searching. Each training takes `iterations` of AdamW a target, at
    `search_rate` in a turn and at `rate` in the end. `guidance` is g of the equation. x_t is walked in `steps` DDIM
    steps under `alpha`.

    A search learns one vector from `pictures` of the concept in `inversion_steps` at `inversion_rate`. `parameters` may
    change: all but cross-attention (`other`), cross-attention, or all. The defaults are those of the authors' command.
    """

    searches: int = 2
    iterations: int = 200
    search_rate: float = 5e-6
    rate: float = 2e-5
    guidance: float = 2.0
    steps: int = 50
    alpha: float = 3.0
    pictures: int = 64
    inversion_steps: int = 3000
    inversion_rate: float = 5e-3
    parameters: str = field(default=OTHER, metadata={"choices": (OTHER, *PARAMETERS)})

    def __post_init__(self) -> None:
        at_least("stereo", 1, pictures=self.pictures)
        at_least("stereo", 3, steps=self.steps)


@dataclass(frozen=True)
class Gone:
    """A condition to erase, and a function that gives the prediction to make in its place, for a state and its time."""

    condition: Arguments
    aim: Aim


def train(pipeline: Any, student: Any, spec: EditSpec, settings: StereoSettings, run: Run) -> None:
    """Search for words on a model that is erased by turns, then erase all of them from the unedited one."""
    draws = torch.Generator().manual_seed(spec.seed)
    weights = chosen(student.unet, settings.parameters)
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    names = [[read(pipeline, [name]) for name in target.names] for target in spec.targets]
    gallery = [_gallery(pipeline, own, settings, draws, run) for own in names]
    found = [list(own) for own in names]
    for turn in range(settings.searches):
        silence = _silence(student, settings)
        gone = [Gone(condition, silence) for own in found for condition in (own[-1:] if turn else own)]
        _erase(student, weights, gone, settings.search_rate, len(names), settings, draws, run)
        for own, pictures in zip(found, gallery, strict=True):
            own.append(_inverted(student, spec.erased, pictures, settings, draws, run))
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(before[name])
    lines = phrasing(spec.erased)
    gone = []
    for target, own in zip(spec.targets, found, strict=True):
        anchors = [text.text for text in worded(target.names, lines(target.category))]
        aim = _composed(pipeline, own, anchors, settings, draws)
        gone += [Gone(condition, aim) for condition in own]
    _erase(student, weights, gone, settings.rate, len(names), settings, draws, run)


def _silence(student: Any, settings: StereoSettings) -> Aim:
    """Return the aim of a search by the model as it stands: e*(c) - (g - 1) (e*(c) - e*).

    At a guidance of 2 that is what is predicted without words.
    """
    frozen = copy.copy(student)
    frozen.unet = copy.deepcopy(student.unet)
    nothing = unconditional(frozen, 1)

    def aim(noisy: Tensor, time: Tensor, said: Arguments) -> Tensor:
        without, named = in_pairs(frozen, noisy, time, nothing, said)
        return named - (settings.guidance - 1) * (named - without)

    return aim


def _composed(
    pipeline: Any, gone: Sequence[Arguments], anchors: Sequence[str], settings: StereoSettings, draws: torch.Generator
) -> Aim:
    """Return the aim of the last erasure, with an anchor sentence drawn for each sample."""
    kept, nothing = read(pipeline, anchors), unconditional(pipeline, 1)
    all_gone = {name: torch.cat([own[name] for own in gone]) for name in gone[0]}

    def aim(noisy: Tensor, time: Tensor, said: Arguments) -> Tensor:
        anchor = take(kept, [int(torch.randint(len(anchors), (), generator=draws))])
        conditions = {name: torch.cat([nothing[name], anchor[name], all_gone[name]]) for name in nothing}
        count = 2 + len(gone)
        answers = predicted(pipeline, noisy.expand(count, *noisy.shape[1:]), time, conditions)
        without, towards, away = answers[:1], answers[1:2], answers[2:]
        push = (away - without).mean(0, keepdim=True)
        return without + (settings.guidance - 1) * (towards - without) - (settings.guidance + 1) * push

    return aim


def _erase(
    student: Any,
    weights: Mapping[str, nn.Parameter],
    gone: Sequence[Gone],
    rate: float,
    targets: int,
    settings: StereoSettings,
    draws: torch.Generator,
    run: Run,
) -> None:
    """Train the weights towards the aims, on paths that the model itself walks under what is erased."""
    scheduler, nothing = ddim(student, settings.steps), unconditional(student, 1)
    for weight in weights.values():
        weight.requires_grad_(True)
    optimiser, whole = torch.optim.AdamW(weights.values(), lr=rate), settings.iterations * targets
    for step in range(whole):
        own = gone[int(torch.randint(len(gone), (), generator=draws))]
        until = int(torch.randint(1, settings.steps - 1, (), generator=draws))
        noise, time = noise_like_latents(student.unet, 1, draws), scheduler.timesteps[until]
        noisy = walk(student, scheduler, own.condition, nothing, noise, settings.alpha, [until])
        with torch.no_grad():
            goal = own.aim(noisy, time, own.condition)
        loss = F.mse_loss(predicted(student, noisy, time, own.condition), goal)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        run.report(Step("erasing", step + 1, whole, loss.item()))
    for weight in weights.values():
        weight.requires_grad_(False)


def _gallery(
    pipeline: Any, names: Sequence[Arguments], settings: StereoSettings, draws: torch.Generator, run: Run
) -> Tensor:
    """Return the latents [pictures, c, h, w] of a target's pictures, drawn under its names by turns."""
    turns = [names[number % len(names)] for number in range(settings.pictures)]
    said = {key: torch.cat([own[key] for own in turns]) for key in names[0]}
    return draw_latents(pipeline, ddim(pipeline, settings.steps), said, PAINTED, draws, "gallery", run)


def _inverted(
    student: Any, erased: Sequence[str], gallery: Tensor, settings: StereoSettings, draws: torch.Generator, run: Run
) -> Arguments:
    """Return the text input of a word that brings the gallery back, learned on the model as it stands."""
    pool = words_without(student, erased)
    word = pool[int(torch.randint(len(pool), (), generator=draws))]
    vectors = {name: rows.requires_grad_() for name, rows in of_usual_length(student, [word]).items()}
    optimiser = torch.optim.AdamW(vectors.values(), lr=settings.inversion_rate)
    line = f"a photo of a {word}"
    for step in range(settings.inversion_steps):
        place = torch.randint(len(gallery), (1,), generator=draws)
        with embedded_as(student, [word], vectors):
            conditions = conditioning(student, [line])
        loss = errors(student, noised(student, gallery[place], draws), conditions).mean()
        grown = torch.autograd.grad(loss, list(vectors.values()))
        for rows, gradient in zip(vectors.values(), grown, strict=True):
            rows.grad = gradient
        optimiser.step()
        run.report(Step("inversion", step + 1, settings.inversion_steps, loss.item()))
    with torch.no_grad(), embedded_as(student, [word], vectors):
        return read(student, [line])


TRAINER = Trainer("stereo", StereoSettings, train, lambda settings: partial(is_trained, settings.parameters))
