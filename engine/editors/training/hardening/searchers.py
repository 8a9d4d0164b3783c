"""Searches for words that bring a target back, kept going while the model is trained against them.

Each is a textual inversion (arXiv 2208.01618): vectors for a few words, moved by Adam towards what makes the model
denoise the target's pictures well. It takes a step whenever the model is trained on what it has found, so neither waits
for the other. When its life is over its words are kept for further training, and another begins at other words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.training.checkpoints import (
    State,
    optimiser_state,
    part,
    restore_optimiser,
    under,
)
from expunge.engine.editors.training.denoiser import read
from expunge.engine.families import Arguments
from expunge.engine.probes.attacks.words import conditioning, embedded_as, of_usual_length, random_words, words_without
from expunge.engine.text.templates import Wording

LIVES = (1.0, 0.5, 2.0)  # of the usual one, by turns
WORDS = (2, 4, 1, 8)  # vectors of a searcher, by turns


class Searcher:
    """A search for words of target number `target`.

    `words` are embedded as `vectors` [n, d] by encoder. They learn for `life` steps at `rates` that fall to 0 along a
    straight line.
    """

    def __init__(
        self, target: int, words: Sequence[str], vectors: Mapping[str, Tensor], rates: Mapping[str, float], life: int
    ) -> None:
        self.target, self.words, self.life, self.done = target, list(words), life, 0
        self.vectors = {name: rows.clone().requires_grad_() for name, rows in vectors.items()}
        self.rates = {name: rates[name] for name in vectors}
        self.optimiser = torch.optim.Adam(
            [{"params": [rows], "lr": rates[name]} for name, rows in self.vectors.items()]
        )

    def asked(self, pipeline: Any, wording: Wording) -> Arguments:
        """Return the condition of a wording with the words in it, with gradients for the vectors."""
        with embedded_as(pipeline, self.words, self.vectors):
            return conditioning(pipeline, [wording.filled(" ".join(self.words)).text])

    def found(self, pipeline: Any, wordings: Sequence[Wording]) -> Arguments:
        """Return the conditions of several wordings, as the search stands."""
        with embedded_as(pipeline, self.words, self.vectors):
            return read(pipeline, [wording.filled(" ".join(self.words)).text for wording in wordings])

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move the vectors down these gradients."""
        for group, rate in zip(self.optimiser.param_groups, self.rates.values(), strict=True):
            group["lr"] = rate * (1 - self.done / self.life)
        for rows, gradient in zip(self.vectors.values(), gradients, strict=True):
            rows.grad = gradient
        self.optimiser.step()
        self.done += 1

    def state(self) -> State:
        numbers = torch.tensor([self.target, self.life, self.done, len(self.words)])
        vectors = {name: rows.detach().clone() for name, rows in self.vectors.items()}
        return {"numbers": numbers, **under("vectors", vectors), **under("adam", optimiser_state(self.optimiser))}


class Searches:
    """Begins searchers, of every target as many, each with another number of words and another life."""

    def __init__(
        self, pipeline: Any, erased: Sequence[str], targets: int, rate: float, life: int, draws: torch.Generator
    ) -> None:
        self.pool = words_without(pipeline, erased)
        self.table = of_usual_length(pipeline, self.pool, shortest=0.5)
        self.rates = {name: rate * rows.std().item() for name, rows in self.table.items()}
        self.targets, self.life, self.draws, self.begun = targets, life, draws, 0

    def begin(self) -> Searcher:
        """Return the next searcher."""
        turn = self.begun // self.targets
        life = max(1, round(self.life * LIVES[turn % len(LIVES)]))
        return self.begin_with(self.begun % self.targets, WORDS[turn % len(WORDS)], life)

    def begin_with(self, target: int, words: int, life: int) -> Searcher:
        """Return a searcher of so many words and such a life, that starts from words drawn at random."""
        self.begun += 1
        count = min(words, len(self.pool))
        start = [self.pool.index(word) for word in random_words(self.pool, count, self.draws)]
        vectors = {name: rows[start] for name, rows in self.table.items()}
        return Searcher(target, self.pool[:count], vectors, self.rates, life)

    def renewed(self, searcher: Searcher) -> Searcher:
        """Return a searcher that goes on from the vectors of another, with a whole life before it."""
        vectors = {name: rows.detach() for name, rows in searcher.vectors.items()}
        return Searcher(searcher.target, searcher.words, vectors, self.rates, self.life)

    def restored(self, state: State) -> Searcher:
        """Return the searcher whose state this was."""
        target, life, done, count = state["numbers"].tolist()
        vectors = {name: rows.to(self.table[name].device) for name, rows in part("vectors", state).items()}
        searcher = Searcher(target, self.pool[:count], vectors, self.rates, life)
        restore_optimiser(searcher.optimiser, part("adam", state))
        searcher.done = done
        return searcher
