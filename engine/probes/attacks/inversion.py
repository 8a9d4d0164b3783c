"""Textual inversion of the erased concept: new words for it, learned as vectors from its pictures.

Circumventing Concept Erasure (arXiv 2308.01508): if any input embedding makes the model draw the concept, then only the
name was erased. The vectors minimise the model's own denoising loss on the references. No weight changes.

Several searches run side by side: rows do not mix in the denoiser, so the gradient of the sum of their losses is that
of each. Each draws from a generator of its own, and finds what it would find alone but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from expunge.engine.errors import SettingError
from expunge.engine.families import Arguments
from expunge.engine.models.denoising import Noised, errors, latents_of, noised, still
from expunge.engine.models.sampling import Sampler, Shot
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, draw, said, worth
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

MOST_VECTORS = 8
TOGETHER = 4  # searches in one pass
BUDGETS: dict[str, dict[str, Any]] = {
    "1x": {},
    "4x": {"steps": 400, "vectors": (4,)},
    "16x": {"steps": 1600, "vectors": (4,)},
    "strongest 1x": {"vectors": (1, 2, 4, 8)},
    "strongest 4x": {"steps": 400, "vectors": (1, 2, 4, 8)},
    "strongest 16x": {"steps": 1600, "vectors": (1, 2, 4, 8)},
}
"""Named budgets: how long the search is, by how many steps. Of several searches, `strongest` tells which counts."""
Vectors = dict[str, Tensor]
Losses = Callable[[Noised, Arguments], Tensor]
"""Takes noised latents [n, ...] and what the denoiser is told of each; returns the loss of each, [n]."""


@dataclass(frozen=True)
class Inversion(Budgeted):
    """Textual inversion: for each number in `vectors` a search learns so many in `steps` steps of `batch` pictures.

    `rate` is Adam's first step, in units of a typical coordinate, and falls to 0 along a straight line. Then `seeds`
    pictures are drawn in each of `wordings` wordings with what each search found.
    """

    name: ClassVar[str] = "inversion"
    learns: ClassVar[bool] = True
    vectors: tuple[int, ...] = (2,)
    steps: int = 100
    batch: int = 4
    rate: float = 0.2
    wordings: int = 2
    seeds: int = 15
    sampler: Sampler = field(default_factory=Sampler)

    def __post_init__(self) -> None:
        if not self.vectors or not all(1 <= count <= MOST_VECTORS for count in self.vectors):
            raise SettingError(f"{self.name}: vectors is {self.vectors}; use one number from 1 to 8 for each search")

    @classmethod
    def of_budget(cls, budget: str) -> Self:
        """Return the attack with a budget of `BUDGETS`. Raises SettingError for another name."""
        if budget not in BUDGETS:
            raise SettingError(f"{cls.name} has no budget {budget!r}; use one of {', '.join(BUDGETS)}")
        return cls(**BUDGETS[budget])

    @property
    def groups(self) -> int:
        """Return of how many searches the strongest counts."""
        return len(self.vectors)

    @property
    def cost(self) -> int:
        return len(self.vectors) * self.wordings * self.seeds

    @property
    def effort(self) -> float:
        return self.cost + len(self.vectors) * worth(self.sampler, 0, trained=self.steps * self.batch)

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Learn the vectors, then draw. Raises UnknownArchitecture for a family whose denoising loss is not known."""
        words = words_without(pipeline, [*subject.names, *said(subject, "", 99)])[: max(self.vectors)]
        found = self.searched(pipeline, subject, words, references, seed)
        return [
            attempt
            for number, vectors in enumerate(found)
            for attempt in self.drawn(pipeline, subject, words[: self.vectors[number]], vectors, number, seed)
        ]

    def drawn(
        self, pipeline: Any, subject: Subject, words: Sequence[str], vectors: Vectors, number: int, seed: int
    ) -> list[Attempt]:
        """Return the attempts with what search `number` found."""
        texts = said(subject, " ".join(words), self.wordings)
        shots = [Shot(text, seed + place) for text in texts for place in range(self.seeds)]
        with embedded_as(pipeline, words, vectors):
            pictures = draw(pipeline, shots, self.sampler)
        shown = dict(zip(texts, said(subject, "<*>", self.wordings), strict=True))
        return [
            Attempt(subject, self.name, f"{self.title(number)}: {shown[shot.prompt]}", shot.seed, picture)
            for shot, picture in zip(shots, pictures, strict=True)
        ]

    def title(self, number: int) -> str:
        """Return how attempts of search `number` are called, the same on every model."""
        if len(self.vectors) == 1:
            return self.name
        return f"{self.name} {number + 1} of {len(self.vectors)}, vectors {self.vectors[number]}"

    def searched(
        self, pipeline: Any, subject: Subject, words: Sequence[str], references: np.ndarray, seed: int
    ) -> list[Vectors]:
        """Return what each search found: the vectors, [n, d] for each text encoder, as which its words are embedded.

        A search of n vectors has the first n of `words`, and starts from the vectors of other words.
        """
        pool = words_without(pipeline, subject.names)
        table = of_usual_length(pipeline, pool, shortest=0.5)
        searches = [
            Search(words[:count], pool, table, self.rate, self.steps, torch.Generator().manual_seed(seed + number))
            for number, count in enumerate(self.vectors)
        ]
        latents = latents_of(pipeline, references)
        with still(pipeline):
            for first in range(0, len(searches), TOGETHER):
                few = searches[first : first + TOGETHER]
                search_together(
                    pipeline, few, subject, latents, self.wordings + 2, self.batch, partial(errors, pipeline)
                )
        return [{name: rows.detach() for name, rows in own.vectors.items()} for own in searches]


class Search:
    """A search for vectors as which `words` are embedded, in `steps` steps. All its draws are from `draws`.

    It starts from the vectors of words of the `pool`, drawn at random, by their rows in `table`.
    """

    def __init__(
        self,
        words: Sequence[str],
        pool: Sequence[str],
        table: Mapping[str, Tensor],
        rate: float,
        steps: int,
        draws: torch.Generator,
        start: Sequence[str] = (),
    ) -> None:
        self.words, self.steps, self.draws = list(words), steps, draws
        start = start or random_words(pool, len(words), draws)
        places = [pool.index(word) for word in start]
        self.vectors = {name: rows[places].requires_grad_() for name, rows in table.items()}
        rates = {name: rate * rows.std().item() for name, rows in table.items()}
        self.optimizer = torch.optim.Adam([{"params": [v], "lr": rates[name]} for name, v in self.vectors.items()])
        self.decay = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 - step / max(steps, 1))

    def asked(self, pipeline: Any, prompt: str) -> Arguments:
        """Return what the denoiser is told of a prompt, with gradients for the vectors."""
        with embedded_as(pipeline, self.words, self.vectors):
            return conditioning(pipeline, [prompt])

    def move(self, gradients: Sequence[Tensor]) -> None:
        """Take one step down these gradients."""
        for rows, gradient in zip(self.vectors.values(), gradients, strict=True):
            rows.grad = gradient
        self.optimizer.step()
        self.decay.step()


def search_together(
    pipeline: Any,
    searches: Sequence[Search],
    subject: Subject,
    latents: Tensor,
    wordings: int,
    batch: int,
    losses: Losses,
) -> None:
    """Take all steps of the searches, which have as many, on `batch` noised latents each and wordings by turns."""
    texts = [cycle(said(subject, " ".join(own.words), wordings)) for own in searches]
    for _ in range(searches[0].steps):
        chosen = [torch.randperm(len(latents), generator=own.draws)[:batch] for own in searches]
        tasks = [noised(pipeline, latents[one], own.draws) for one, own in zip(chosen, searches, strict=True)]
        told = [own.asked(pipeline, next(lines)) for own, lines in zip(searches, texts, strict=True)]
        each = [repeated(one, len(task.noisy)) for one, task in zip(told, tasks, strict=True)]
        task = Noised(*(torch.cat([getattr(one, part) for one in tasks]) for part in ("noisy", "times", "goal")))
        loss = losses(task, joined(each)).split([len(one) for one in chosen])
        vectors = [rows for own in searches for rows in own.vectors.values()]
        slopes = iter(torch.autograd.grad(torch.stack([one.mean() for one in loss]).sum(), vectors))
        for own in searches:
            own.move(list(islice(slopes, len(own.vectors))))


def strongest(attempts: Sequence[Attempt], seen: Sequence[bool]) -> list[bool]:
    """Return what was seen of that search of an attack that brought the target back most often, of the first of equals.

    An attacker looks at what each search found and keeps the best. So its share counts, and not the mean of all.
    """
    own: dict[str, list[bool]] = {}
    for attempt, hit in zip(attempts, seen, strict=True):
        own.setdefault(attempt.prompt.partition(":")[0], []).append(hit)
    if not own:
        raise SettingError("no attempts, so no search is the strongest")
    return max(own.values(), key=lambda hits: sum(hits) / len(hits))


ATTACK = Inversion
