"""AdvUnlearn (Zhang et al., NeurIPS 2024, arXiv 2405.15234): erase a concept under the prompts that bring it back best.

    min over weights   |e(x_t, c') - e~(x_t)|^2  +  keep  mean |e(x_r,t, c_r) - e*(x_r,t, c_r)|^2
    c' = vectors before the concept's name, where the vectors minimise  |e(x_t, c') - e*(x_t, c)|^2
    e~(x_t) = e*(x_t) - eta (e*(x_t, c) - e*(x_t))

e* is the model as it was and e the one in training, c is a name of a target and c_r one of what is retained. In each
iteration the vectors are searched for anew on the model as it stands. The first `warmup` iterations take the name
alone.

The weights are those of the text encoder, as the paper recommends, or of the denoiser. Who trains the text encoder
leaves the denoiser as it was. So a verification finds the target where the base's text encoder is put back.

States come from the unedited model's own paths, drawn once. The published script draws a new one for each step; for the
text encoder these are paths of the unedited denoiser under the unedited name, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.engine.editors.base import at_least
from expunge.engine.editors.training.base import Run, Step, Trainer
from expunge.engine.editors.training.denoiser import OTHER, PARAMETERS, chosen, is_trained, read
from expunge.engine.editors.training.hardening.paths import Paths, Walk, walked
from expunge.engine.families import Arguments
from expunge.engine.models.denoising import predicted
from expunge.engine.probes.attacks.words import (
    conditioning,
    embedded_as,
    encoders,
    input_embeddings,
    random_words,
    words_without,
)
from expunge.engine.spec import EditSpec
from expunge.engine.text.templates import phrasing, worded

TEXT = "text-encoder"
LAYER = re.compile(r"encoder\.layers\.(\d+)\.")
PLAINLY = torch.no_grad  # a context that changes no precision


@dataclass(frozen=True)
class AdvUnlearnSettings:
    """Settings of AdvUnlearn.

    There are `iterations` of Adam at `rate`, the first `warmup` without a search. `eta` and `keep` are those of the
    equations, and `batch` retained prompts are kept in an iteration. A search learns `vectors` in `attack_steps` of
    Adam at `attack_rate`, from random words on. States are of `paths` paths in `steps` DDIM steps under `alpha`.

    `parameters` may change: those of the `text-encoder`, or of the denoiser all but cross-attention (`other`),
    cross-attention, or all (`full`). Of the text encoder, the first `layers` are trained, or at 0 all and the last
    norm. The embeddings of words never change. `bare`: names alone instead of the templates.

    The defaults are those of the authors' command. What they keep are 80 classes of objects; here it is what the
    specification retains.
    """

    iterations: int = 1000
    warmup: int = 200
    rate: float = 1e-5
    eta: float = 1.0
    keep: float = 0.3
    batch: int = 5
    vectors: int = 1
    attack_steps: int = 30
    attack_rate: float = 1e-3
    paths: int = 32
    steps: int = 50
    alpha: float = 3.0
    parameters: str = field(default=TEXT, metadata={"choices": (TEXT, OTHER, *PARAMETERS)})
    layers: int = 0
    bare: bool = True

    def __post_init__(self) -> None:
        at_least("advunlearn", 1, batch=self.batch, vectors=self.vectors, paths=self.paths, steps=self.steps)


@dataclass(frozen=True)
class Spoken:
    """Paths of the unedited model: path number i was walked under `texts[i]`."""

    texts: list[str]
    paths: Paths

    def drawn(self, places: Sequence[int], draws: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a state of each of these paths, its time, and what was said of it with words and without."""
        own, paths = torch.tensor(places), self.paths
        at = torch.randint(paths.states.shape[1], (len(own),), generator=draws)
        return paths.states[own, at], paths.times[own, at], paths.said[own, at], paths.unsaid[own, at]


def train(pipeline: Any, student: Any, spec: EditSpec, settings: AdvUnlearnSettings, run: Run) -> None:
    """Search for vectors and train against them by turns."""
    draws = torch.Generator().manual_seed(spec.seed)
    gone, stay = _texts(spec, settings)
    erased = _walked(pipeline, gone, settings, draws, "pictures to forget", run)
    kept = _walked(pipeline, stay, settings, draws, "pictures to keep", run)
    weights = _trainable(student, settings)
    pool, optimiser = words_without(student, spec.erased), torch.optim.Adam(weights, lr=settings.rate)
    for step in range(settings.iterations):
        place = int(torch.randint(len(erased.texts), (), generator=draws))
        words = random_words(pool, settings.vectors, draws) if step >= settings.warmup else []
        vectors = _searched(student, words, erased, place, settings, draws) if words else {}
        noisy, times, said, unsaid = erased.drawn([place], draws)
        told = _asked(student, words, vectors, erased.texts[place])
        loss = F.mse_loss(predicted(student, noisy, times, told), unsaid - settings.eta * (said - unsaid))
        loss = loss + settings.keep * _kept(student, kept, settings.batch, draws)
        optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=weights)
        optimiser.step()
        run.report(Step("training", step + 1, settings.iterations, loss.item()))


def _texts(spec: EditSpec, settings: AdvUnlearnSettings) -> tuple[list[str], list[str]]:
    """Return the prompts to forget and the prompts to keep, one for each path, every concept as often."""
    lines = phrasing(spec.erased, settings.bare)

    def by_turns(own: list[list[str]]) -> list[str]:
        turns = (divmod(place, len(own)) for place in range(max(settings.paths, len(own))))
        return [own[turn][number % len(own[turn])] for number, turn in turns]

    targets = [list(target.names) for target in spec.targets]
    retained = [[text.text for text in worded(own.names, lines(own.category))] for own in spec.retain]
    return by_turns(targets), by_turns(retained or [[""]])


def _walked(
    pipeline: Any, texts: list[str], settings: AdvUnlearnSettings, draws: torch.Generator, stage: str, run: Run
) -> Spoken:
    how = Walk(settings.steps, settings.alpha)
    return Spoken(texts, walked(pipeline, read(pipeline, texts), how, draws, stage, run, PLAINLY))


def _trainable(student: Any, settings: AdvUnlearnSettings) -> list[nn.Parameter]:
    """Switch on the gradients of what may change, and return it."""
    if settings.parameters != TEXT:
        return list(chosen(student.unet, settings.parameters).values())
    named = [
        (f"{component}.{name}", weight)
        for component, (encoder, _) in encoders(student).items()
        for name, weight in encoder.named_parameters()
    ]
    picked = [weight for name, weight in named if may_change(settings, name)]
    for weight in picked:
        weight.requires_grad_(True)
    return picked


def may_change(settings: AdvUnlearnSettings, weight: str) -> bool:
    """Return whether these settings train a weight, by its name in a pipeline."""
    if settings.parameters != TEXT:
        return is_trained(settings.parameters, weight)
    component, _, path = weight.partition(".")
    if not component.startswith("text_encoder"):
        return False
    if found := LAYER.search(path):
        return not settings.layers or int(found[1]) < settings.layers
    return not settings.layers and "final_layer_norm." in path


def parts(settings: AdvUnlearnSettings) -> tuple[str, ...]:
    """Return the components that these settings train, beside the UNet."""
    return ("text_encoder", "text_encoder_2") if settings.parameters == TEXT else ()


def _searched(
    student: Any,
    words: Sequence[str],
    erased: Spoken,
    place: int,
    settings: AdvUnlearnSettings,
    draws: torch.Generator,
) -> dict[str, Tensor]:
    """Return vectors for the words, before the name of path `place`, under which the student still draws the target."""
    text = erased.texts[place]
    places = [number for number, own in enumerate(erased.texts) if own == text]
    vectors = {name: rows.clone().requires_grad_() for name, rows in input_embeddings(student, words).items()}
    optimiser = torch.optim.Adam(vectors.values(), lr=settings.attack_rate)
    for _ in range(settings.attack_steps):
        other = places[int(torch.randint(len(places), (), generator=draws))]
        noisy, times, said, _ = erased.drawn([other], draws)
        error = F.mse_loss(predicted(student, noisy, times, _asked(student, words, vectors, text)), said)
        for rows, slope in zip(vectors.values(), torch.autograd.grad(error, list(vectors.values())), strict=True):
            rows.grad = slope
        optimiser.step()
    return {name: rows.detach() for name, rows in vectors.items()}


def _asked(student: Any, words: Sequence[str], vectors: Mapping[str, Tensor], text: str) -> Arguments:
    """Return what the denoiser is told of the vectors and then the text, with gradients."""
    if not words:
        return conditioning(student, [text])
    with embedded_as(student, words, vectors):
        return conditioning(student, [" ".join([*words, text])])


def _kept(student: Any, kept: Spoken, count: int, draws: torch.Generator) -> Tensor:
    """Return how far the student is from what was said of states of kept paths."""
    places = torch.randint(len(kept.texts), (count,), generator=draws).tolist()
    noisy, times, said, _ = kept.drawn(places, draws)
    return F.mse_loss(
        predicted(student, noisy, times, conditioning(student, [kept.texts[one] for one in places])), said
    )


TRAINER = Trainer(
    "advunlearn", AdvUnlearnSettings, train, lambda settings: partial(may_change, settings), further=parts
)
