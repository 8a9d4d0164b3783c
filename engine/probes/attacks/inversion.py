"""Textual inversion of the erased concept: new words for it, learned as vectors from its pictures.

Circumventing Concept Erasure (arXiv 2308.01508): if any input embedding makes the model draw the concept, then only the
name was erased. The vectors minimise the model's own denoising loss on the references. No weight changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from expunge.engine.models.denoising import errors, latents_of, noised, still
from expunge.engine.models.sampling import Sampler, Shot
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, draw, said, worth
from expunge.engine.probes.attacks.words import (
    conditioning,
    embedded_as,
    of_usual_length,
    random_words,
    repeated,
    words_without,
)
from expunge.engine.probes.prompts.families import Subject


@dataclass(frozen=True)
class Inversion(Budgeted):
    """Textual inversion: `tokens` vectors learned in `steps` steps of `batch` pictures each.

    `rate` is Adam's first step, in units of a typical coordinate, and falls to 0 along a straight line. Then `seeds`
    pictures are drawn in each of `wordings` wordings.
    """

    name: ClassVar[str] = "inversion"
    learns: ClassVar[bool] = True
    tokens: int = 2
    steps: int = 100
    batch: int = 4
    rate: float = 0.2
    wordings: int = 2
    seeds: int = 15
    sampler: Sampler = field(default_factory=Sampler)

    @property
    def cost(self) -> int:
        return self.wordings * self.seeds

    @property
    def effort(self) -> float:
        return self.cost + worth(self.sampler, 0, trained=self.steps * self.batch)

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Learn the vectors, then draw. Raises UnknownArchitecture for a family whose denoising loss is not known."""
        words = words_without(pipeline, [*subject.names, *said(subject, "", 99)])[: self.tokens]
        texts = said(subject, " ".join(words), self.wordings)
        vectors = self.learned(pipeline, subject, words, references, seed)
        shots = [Shot(text, seed + number) for text in texts for number in range(self.seeds)]
        with embedded_as(pipeline, words, vectors):
            pictures = draw(pipeline, shots, self.sampler)
        shown = dict(zip(texts, said(subject, "<*>", self.wordings), strict=True))
        return [
            Attempt(subject, self.name, f"{self.name}: {shown[shot.prompt]}", shot.seed, picture)
            for shot, picture in zip(shots, pictures, strict=True)
        ]

    def learned(
        self, pipeline: Any, subject: Subject, words: Sequence[str], references: np.ndarray, seed: int
    ) -> dict[str, Tensor]:
        """Return the vectors, [tokens, d] for each text encoder, as which `words` must be embedded.

        The search starts from the vectors of other words.
        """
        generator = torch.Generator().manual_seed(seed)
        pool = words_without(pipeline, subject.names)
        places = [pool.index(word) for word in random_words(pool, len(words), generator)]
        table = of_usual_length(pipeline, pool, shortest=0.5)
        vectors = {name: rows[places].requires_grad_() for name, rows in table.items()}
        groups = [{"params": [v], "lr": self.rate * table[name].std().item()} for name, v in vectors.items()]
        optimizer = torch.optim.Adam(groups)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / max(self.steps, 1))
        latents = latents_of(pipeline, references)
        texts = islice(cycle(said(subject, " ".join(words), self.wordings + 2)), self.steps)
        with still(pipeline), embedded_as(pipeline, words, vectors):
            for text in texts:
                chosen = torch.randperm(len(latents), generator=generator)[: self.batch]
                fed = repeated(conditioning(pipeline, [text]), len(chosen))
                loss = errors(pipeline, noised(pipeline, latents[chosen], generator), fed).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                decay.step()
        return {name: vector.detach() for name, vector in vectors.items()}


ATTACK = Inversion
