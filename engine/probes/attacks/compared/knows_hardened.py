"""An attack by someone who knows how `hardened` trains, and turns that training around.

On a target's noised pictures, `hardened` teaches the model one goal under names, found words and, as a rule, no words
(`engine/editors/training/hardening/bank.py`):

    goal  =  e*(x_t, anchor) - push (e*(x_t, c) - e*(x_t))

So the erased model has the target's direction still, with the sign changed. Whoever draws is free to change it back:
guidance that leads away from what was trained, e(b) + g (e(x_t, v) - e(b)), leads towards the target. b are the prompts
that the editor trained against: the name, words found by an inversion of this model, other words, no words. For each of
them vectors v are learned, so that the guided prediction, and not that of v alone, denoises the target's pictures. The
levels of noise are evenly spread, as in the training. A search begins at the words of the name, from which the editor
moved the model away. The pictures are drawn with the same guidance. Of the four the strongest counts.

No paper has it. The contest of `hardened` trains against single prompts, so this is what it never saw. On another
editor it is an inversion through a negative prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from expunge.engine.families import Arguments
from expunge.engine.models.denoising import Noised, in_pairs, latents_of, predicted, still
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, check_references, said, worth
from expunge.engine.probes.attacks.compared.paths import (
    descended,
    draws_of,
    levels,
    noise_like,
    nothing_said,
    pictures_of,
)
from expunge.engine.probes.attacks.inversion import Inversion, Search, search_together
from expunge.engine.probes.attacks.words import (
    conditioning,
    embedded_as,
    joined,
    of_usual_length,
    random_words,
    repeated,
    words_without,
)
from expunge.engine.probes.prompts.families import Subject

AGAINST = ("name", "found words", "other words", "no words")
LEAST_GUIDANCE = 2.0  # of a model that is drawn without guidance there is nothing to turn around


@dataclass(frozen=True)
class KnowsHardened(Budgeted):
    """Four searches of `vectors` vectors, in `steps` steps of `batch` pictures each, and an inversion before them.

    `rate` is as in `inversion`. `seeds` pictures are drawn with what each search found.
    """

    name: ClassVar[str] = "knows_hardened"
    learns: ClassVar[bool] = True
    vectors: int = 4
    steps: int = 100
    batch: int = 4
    rate: float = 0.2
    seeds: int = 15
    sampler: Sampler = field(default_factory=Sampler)

    @property
    def groups(self) -> int:
        """Return of how many searches the strongest counts."""
        return len(AGAINST)

    @property
    def cost(self) -> int:
        return len(AGAINST) * self.seeds

    @property
    def effort(self) -> float:
        rows = self.steps * self.batch
        searching = worth(self.sampler, forward=len(AGAINST) * rows, trained=(1 + len(AGAINST)) * rows)
        return self.cost + searching

    @property
    def guidance(self) -> float:
        return max(self.sampler.guidance, LEAST_GUIDANCE)

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Search against each kind of prompt, then draw.

        Raises UnknownArchitecture if the loss is not known, ConceptError without a picture of the target.
        """
        check_references(subject, references)
        words = words_without(pipeline, [*subject.names, *said(subject, "", 99)])[: self.vectors]
        latents = latents_of(pipeline, references)
        with still(pipeline):
            bases = self.bases(pipeline, subject, words, references, seed)
            searches = self.searched(pipeline, subject, words, latents, bases, seed)
            line = said(subject, " ".join(words), 1)[0]
            made: list[Attempt] = []
            for kind, search, base in zip(AGAINST, searches, bases, strict=True):
                with torch.no_grad():
                    told = search.asked(pipeline, line)
                    pictures = self.drawn(pipeline, told, base, latents[:1].float(), seed)
                title = f"{self.name}, against {kind}: {said(subject, '<*>', 1)[0]}"
                made += [
                    Attempt(subject, self.name, title, seed + place, picture) for place, picture in enumerate(pictures)
                ]
        return made

    @torch.no_grad()
    def bases(
        self,
        pipeline: Any,
        subject: Subject,
        words: Sequence[str],
        references: np.ndarray,
        seed: int,
    ) -> list[Arguments]:
        """Return what the denoiser is told of each kind of prompt that the editor trains against."""
        line = said(subject, " ".join(words), 1)[0]
        ordinary = Inversion((len(words),), self.steps, self.batch, self.rate, wordings=1)
        with torch.enable_grad():
            (found,) = ordinary.searched(pipeline, subject, words, references, seed)
        with embedded_as(pipeline, words, found):
            by_found = conditioning(pipeline, [line])
        (draws,) = draws_of("another word", [seed])
        (other,) = random_words(words_without(pipeline, subject.names), 1, draws)
        named, others = (conditioning(pipeline, [said(subject, text, 1)[0]]) for text in (subject.name, other))
        return [named, by_found, others, nothing_said(pipeline, 1)]

    def searched(
        self,
        pipeline: Any,
        subject: Subject,
        words: Sequence[str],
        latents: Tensor,
        bases: Sequence[Arguments],
        seed: int,
    ) -> list[Search]:
        """Return the searches, side by side, by the guided prediction away from each base."""
        pool = words_without(pipeline, ())
        table = of_usual_length(pipeline, pool, shortest=0.5)
        own = [word for word in subject.name.split() if word in pool][: len(words)]
        searches = [
            Search(
                words, pool, table, self.rate, self.steps, draws, own + random_words(pool, len(words) - len(own), draws)
            )
            for draws in draws_of(self.name, range(seed, seed + len(bases)))
        ]

        def losses(task: Noised, told: Arguments) -> Tensor:
            each = len(task.noisy) // len(bases)
            return self.off(pipeline, task, told, joined([repeated(base, each) for base in bases]))

        search_together(pipeline, searches, subject, latents, 1, self.batch, losses)
        return searches

    def off(self, pipeline: Any, task: Noised, told: Arguments, base: Arguments) -> Tensor:
        """Return the mean squared error of the guided prediction on each row, [n]."""
        with torch.no_grad():
            away = predicted(pipeline, task.noisy, task.times, base)
        led = away + self.guidance * (predicted(pipeline, task.noisy, task.times, told) - away)
        return (led - task.goal).square().flatten(1).mean(1)

    def drawn(self, pipeline: Any, told: Arguments, base: Arguments, like: Tensor, seed: int) -> np.ndarray:
        """Return a picture for each seed, drawn with guidance from the base towards what the vectors say.

        `like` are latents [1, c, h, w] of the size to draw.
        """
        path, made = levels(pipeline, self.sampler.steps), []
        seeds = range(seed, seed + self.seeds)
        for first in range(0, self.seeds, self.sampler.batch):
            few = seeds[first : first + self.sampler.batch]
            towards, away = repeated(told, len(few)), repeated(base, len(few))
            noise = path[0].spread * noise_like(like, draws_of(self.name, few))

            def predict(state: Tensor, time: Tensor, away: Arguments = away, towards: Arguments = towards) -> Tensor:
                without, named = in_pairs(pipeline, state, time, away, towards)
                return without + self.guidance * (named - without)

            made.append(pictures_of(pipeline, descended(pipeline, noise, path, predict)))
        return np.concatenate(made)


ATTACK = KnowsHardened
