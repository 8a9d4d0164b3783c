"""A search for words that bring the concept back, with the model's own gradient.

UnlearnDiffAtk (arXiv 2310.11868) and P4D (arXiv 2309.06135): the model is its own classifier, so words that make it
denoise the concept's pictures well make it draw them. The gradient at a slot's embedding ranks all words at once, as in
HotFlip (arXiv 1712.06751). The best ranked are then tried for their true effect. In the ranking no word's row is longer
than the median. Otherwise a supplier could make the search spend all trials on words of his choice. Short rows stay
short: they belong to words that were hardly trained, and lengthened they would displace better words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from expunge.engine.models.denoising import Noised, errors, latents_of, noised, still
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, drawn_with, said, worth
from expunge.engine.probes.attacks.words import (
    conditioning,
    embedded_as,
    of_usual_length,
    random_words,
    repeated,
    words_without,
)
from expunge.engine.probes.prompts.families import Subject

TELLING = 0.3  # with less noise than this share of all levels, a picture shows its content without any words


@dataclass(frozen=True)
class PromptSearch(Budgeted):
    """A greedy search for `searches` prompts with `words` searched words each.

    In each of `steps` steps, the best of `trials` changes is taken if it helps. Words that `patience` steps did not
    improve are dropped for other random ones, and the best of all are kept: a greedy search is soon stuck, often with
    words that show nothing. The first search, and every third, puts its words in place of the concept's name. The
    others put them before it, because some concepts cannot be expressed without the name. Prompts are compared on the
    same `batch` noised references. `seeds` pictures are drawn of each prompt found.
    """

    name: ClassVar[str] = "prompt_search"
    learns: ClassVar[bool] = True
    words: int = 4
    searches: int = 3
    steps: int = 30
    patience: int = 3
    trials: int = 12
    batch: int = 6
    seeds: int = 10
    sampler: Sampler = field(default_factory=Sampler)

    @property
    def cost(self) -> int:
        return self.searches * self.seeds

    @property
    def effort(self) -> float:
        ranked = self.searches * self.steps * self.batch
        return self.cost + worth(self.sampler, forward=ranked * (self.trials + 1 / self.patience), trained=ranked)

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Search, then draw. Raises UnknownArchitecture for a family whose denoising loss is not known."""
        pool = words_without(pipeline, subject.names)
        latents = latents_of(pipeline, references)
        made: list[Attempt] = []
        for number in range(self.searches):
            generator = torch.Generator().manual_seed(seed + number)
            chosen = torch.randperm(len(latents), generator=generator)[: self.batch]
            with still(pipeline):
                task = noised(pipeline, latents[chosen], generator, TELLING)
                ending = said(subject, subject.name, 1)[0] if number % 3 else ""
                found = self.search(pipeline, pool, ending, task, generator)
            title = f"{self.name} {number + 1} of {self.searches}" + (", before the name" if ending else "")
            seeds = range(seed, seed + self.seeds)
            made += drawn_with(pipeline, self.name, subject, title, found, seeds, self.sampler)
        return made

    def search(self, pipeline: Any, pool: Sequence[str], ending: str, task: Noised, generator: torch.Generator) -> str:
        """Return the prompt under which the task's latents are denoised best: `words` of the pool and then `ending`."""
        table = of_usual_length(pipeline, pool)
        least = best = self.started(pipeline, pool, ending, task, generator)
        stuck = 0
        for _ in range(self.steps):
            if stuck == self.patience or best[0] == math.inf:
                best, stuck = self.started(pipeline, pool, ending, task, generator), 0
            tried = self.changed(best[1], pool, self.ranking(pipeline, pool, best[1], ending, table, task), generator)
            losses = self.losses(pipeline, [_joined(own, ending) for own in tried], task)
            new = (losses.min().item(), tried[int(losses.argmin())])
            best, stuck = (new, 0) if new[0] < best[0] else (best, stuck + 1)
            least = min(least, best)
        return _joined(least[1], ending)

    def started(
        self, pipeline: Any, pool: Sequence[str], ending: str, task: Noised, generator: torch.Generator
    ) -> tuple[float, list[str]]:
        """Return the loss of random words, and the words."""
        words = random_words(pool, self.words, generator)
        return self.losses(pipeline, [_joined(words, ending)], task).item(), words

    def changed(
        self, words: Sequence[str], pool: Sequence[str], ranked: Tensor, generator: torch.Generator
    ) -> list[list[str]]:
        """Return `words` with one of them changed, `trials` times, by any of the best changes of `ranked`."""
        best = ranked.flatten().topk(min(4 * self.trials, ranked.numel())).indices
        picked = best[torch.randperm(len(best), generator=generator)[: self.trials]].tolist()
        changes: list[tuple[int, int]] = [divmod(place, len(pool)) for place in picked]
        return [[*words[:slot], pool[word], *words[slot + 1 :]] for slot, word in changes]

    def ranking(
        self,
        pipeline: Any,
        pool: Sequence[str],
        words: Sequence[str],
        ending: str,
        table: Mapping[str, Tensor],
        task: Noised,
    ) -> Tensor:
        """Return by how much each word of the pool should lower the loss in each slot, [words, pool], to first order.

        `table` holds the embeddings of the words. A word that occurs twice is one word to it, so its slots share a
        gradient.
        """
        distinct = list(dict.fromkeys(words))
        places = [pool.index(word) for word in distinct]
        vectors = {name: rows[places].requires_grad_() for name, rows in table.items()}
        with embedded_as(pipeline, distinct, vectors):
            fed = repeated(conditioning(pipeline, [_joined(words, ending)]), len(task.noisy))
        gradients = torch.autograd.grad(errors(pipeline, task, fed).mean(), list(vectors.values()))
        gain = torch.zeros(len(distinct), len(pool))
        for (name, vector), gradient in zip(vectors.items(), gradients, strict=True):
            gain += ((vector.detach() * gradient).sum(1, keepdim=True) - gradient @ table[name].T).cpu()
        return gain[[distinct.index(word) for word in words]]

    @torch.no_grad()
    def losses(self, pipeline: Any, prompts: Sequence[str], task: Noised) -> Tensor:
        """Return the mean denoising loss [prompts] of each prompt on the same noised latents."""
        fed = conditioning(pipeline, prompts)
        each = [{key: value[place : place + 1] for key, value in fed.items()} for place in range(len(prompts))]
        losses = torch.stack([errors(pipeline, task, repeated(own, len(task.noisy))).mean() for own in each]).cpu()
        return losses.where(losses.isfinite(), math.inf)


def _joined(words: Sequence[str], ending: str) -> str:
    return " ".join([*words, ending]).strip()


ATTACK = PromptSearch
