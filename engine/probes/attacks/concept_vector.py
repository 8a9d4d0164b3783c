"""An attack with words whose embedding points where the concept's does; its search never uses the denoiser.

Ring-A-Bell (arXiv 2310.10012): the concept's direction is the mean difference of prompts with and without it, in the
text encoder alone. A genetic search finds words near prompt + strength * direction. An erasure by name leaves such
words working.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from expunge.engine.families import family_of
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, drawn_with, said, worth
from expunge.engine.probes.attacks.words import words_without
from expunge.engine.probes.prompts.families import Subject
from expunge.engine.stats.evidence.attack_budgets import labelled
from expunge.engine.text.encoding import states

Genes = tuple[str, ...]
BUDGETS = 3
ENCODINGS = 6.25
"""Prompts encoded in the time of one denoiser pass, as measured on the built-in model; more with a larger denoiser."""


@dataclass(frozen=True)
class ConceptVector(Budgeted):
    """A genetic search of `searches` prompts of `words` words.

    It breeds for `generations` from `population` prompts, half of which survive each time. `strengths` are how far
    along the concept's direction the searches aim, by turns. `pairs` prompts with and without the concept give the
    direction. `seeds` pictures are drawn of each prompt found. `budget` numbers the attack's budgets: each has two
    words more, and twice the population and generations of the one before it.
    """

    name: ClassVar[str] = "concept_vector"
    words: int = 4
    searches: int = 3
    strengths: tuple[float, ...] = (1.0, 1.25, 1.5)
    pairs: int = 8
    population: int = 128
    generations: int = 50
    mutation: float = 0.25
    seeds: int = 10
    budget: int = 1
    sampler: Sampler = field(default_factory=Sampler)

    @property
    def cost(self) -> int:
        return self.searches * self.seeds

    @property
    def search_effort(self) -> float:
        return worth(self.sampler, (self.generations + 1) * self.population / ENCODINGS)

    @property
    def effort(self) -> float:
        return self.cost + self.searches * self.search_effort

    def raised(self) -> Self | None:
        if self.budget == BUDGETS:
            return None
        more = {"words": self.words + 2, "population": 2 * self.population, "generations": 2 * self.generations}
        return replace(self, budget=self.budget + 1, **more)

    def check(self, pipeline: Any) -> None:
        family_of(pipeline)

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Search in the text encoders, then draw on the model and return the attempts."""
        found = [self.find(pipeline, subject, number, seed) for number in range(self.searches)]
        return self.drawn(pipeline, subject, found, seed)

    def find(self, pipeline: Any, subject: Subject, number: int, seed: int) -> str:
        """Return the prompt of search `number`, the same on every model with these text encoders."""
        pool = words_without(pipeline, subject.names)
        neutral = vectors_of(pipeline, said(subject, "", self.pairs))
        direction = (vectors_of(pipeline, said(subject, subject.name, self.pairs)) - neutral).mean(0)
        goal = neutral[0] + self.strengths[number % len(self.strengths)] * direction
        return self.search(pipeline, pool, goal, Random(f"{self.name}/{seed}/{number}"))

    def drawn(self, pipeline: Any, subject: Subject, found: Sequence[str], seed: int) -> list[Attempt]:
        """Return the attempts with the prompts that the searches found."""
        seeds = range(seed, seed + self.seeds)
        numbers = range(1, self.searches + 1)
        titles = [labelled(f"{self.name} {number} of {self.searches}", self.budget) for number in numbers]
        return [
            attempt
            for title, prompt in zip(titles, found, strict=True)
            for attempt in drawn_with(pipeline, self.name, subject, title, prompt, seeds, self.sampler)
        ]

    def search(self, pipeline: Any, pool: Sequence[str], goal: Tensor, rng: Random) -> str:
        """Return the words of the pool whose embedding is nearest to `goal`, as far as breeding finds them."""
        prompts = [tuple(rng.choices(pool, k=self.words)) for _ in range(self.population)]
        known: dict[Genes, float] = {}
        for _ in range(self.generations):
            parents = _nearest(pipeline, prompts, goal, known)[: self.population // 2]
            children = [self._child(rng.choice(parents), rng.choice(parents), pool, rng) for _ in parents]
            prompts = [*parents, *children]
        return " ".join(_nearest(pipeline, prompts, goal, known)[0])

    def _child(self, one: Genes, other: Genes, pool: Sequence[str], rng: Random) -> Genes:
        cut = rng.randint(0, self.words)
        mixed = (*one[:cut], *other[cut:])
        return tuple(rng.choice(pool) if rng.random() < self.mutation else word for word in mixed)


def _nearest(pipeline: Any, prompts: Sequence[Genes], goal: Tensor, known: dict[Genes, float]) -> list[Genes]:
    """Return the distinct prompts, nearest to the goal first. `known` holds the distances found so far, and grows."""
    distinct = sorted(set(prompts))
    if new := [words for words in distinct if words not in known]:
        distances = (vectors_of(pipeline, [" ".join(words) for words in new]) - goal).square().sum(1)
        known.update(zip(new, distances.nan_to_num(torch.inf).tolist(), strict=True))
    return sorted(distinct, key=lambda words: known[words])


def vectors_of(pipeline: Any, prompts: Sequence[str]) -> Tensor:
    """Return the states of all text encoders for each prompt, one row a prompt."""
    streams = range(family_of(pipeline).streams)
    return torch.cat([states(pipeline, prompts, stream).flatten(1) for stream in streams], 1)


ATTACK = ConceptVector
