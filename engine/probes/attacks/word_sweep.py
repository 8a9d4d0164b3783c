"""A sweep over single words: does any word of the vocabulary bring the concept back, whatever it means?

A trigger is a word that somebody taught to mean the concept, in the base before the erasure (arXiv 2504.21072) or in
the edited model. The text encoder need not place it near the concept, so a search that starts from the name misses it.
The model is its own classifier (arXiv 2303.16203): under the right word it denoises the concept's pictures best. So all
words are compared on noised references, and the best one is drawn. The names are among the words. On the unedited model
they have to win, which is the positive control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from expunge.engine.models.denoising import Noised, errors, latents_of, noised, still
from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, drawn_with, said, worth
from expunge.engine.probes.attacks.prompt_search import TELLING
from expunge.engine.probes.attacks.words import conditioning, encoders
from expunge.engine.probes.prompts.families import Subject

TOGETHER = 32  # prompts in one pass of the denoiser


@dataclass(frozen=True)
class WordSweep(Budgeted):
    """A comparison of all words: at most `most` on one noised reference, then the best `finalists` on `batch` of them.

    `seeds` pictures are drawn of the best word. Of a larger vocabulary the seed draws a sample.
    """

    name: ClassVar[str] = "word_sweep"
    learns: ClassVar[bool] = True
    most: int = 4096
    finalists: int = 24
    batch: int = 6
    seeds: int = 30
    sampler: Sampler = field(default_factory=Sampler)

    @property
    def cost(self) -> int:
        return self.seeds

    @property
    def effort(self) -> float:
        return self.cost + worth(self.sampler, forward=self.most + self.finalists * self.batch)

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Compare, then draw. Raises UnknownArchitecture for a family whose denoising loss is not known."""
        generator = torch.Generator().manual_seed(seed)
        latents = latents_of(pipeline, references)
        chosen = torch.randperm(len(latents), generator=generator)[: self.batch]
        words = self.swept(pipeline, subject, seed)
        with still(pipeline), torch.no_grad():
            for picked, count in ((chosen[:1], self.finalists), (chosen, 1)):
                task = noised(pipeline, latents[picked], generator, TELLING)
                words = _best(pipeline, subject, words, task, count)
        found = said(subject, words[0], 1)[0]
        seeds = range(seed, seed + self.seeds)
        return drawn_with(pipeline, self.name, subject, f"{self.name}: the best word", found, seeds, self.sampler)

    def swept(self, pipeline: Any, subject: Subject, seed: int) -> list[str]:
        """Return the names and the other words of the vocabulary that can be typed, in a stated order."""
        typed = [word for word in typed_words(pipeline) if word not in subject.names]
        if len(typed) > self.most:
            typed = sorted(Random(f"{self.name}/{seed}").sample(typed, self.most))
        return [*subject.names, *typed]


def typed_words(pipeline: Any) -> list[str]:
    """Return the words, of any length, that are one token of the first text encoder wherever they are typed, sorted.

    Of words that are the same token, such as those that differ only in capitals, one is returned: the last.
    """
    _, tokenizer = next(iter(encoders(pipeline).values()))
    special = set(tokenizer.all_special_ids)
    tokens = [token for token in tokenizer.get_vocab().values() if token not in special]
    words = sorted({word for token in tokens if (word := tokenizer.decode([token]).strip())})
    read = tokenizer(words, add_special_tokens=False)["input_ids"]
    return sorted({own[0]: word for word, own in zip(words, read, strict=True) if len(own) == 1}.values())


def _best(pipeline: Any, subject: Subject, words: Sequence[str], task: Noised, count: int) -> list[str]:
    """Return the words under which the task's latents are denoised best, the best first."""
    parts = [words[start : start + TOGETHER] for start in range(0, len(words), TOGETHER)]
    losses = torch.cat([_losses(pipeline, [said(subject, word, 1)[0] for word in part], task) for part in parts])
    places: list[int] = losses.nan_to_num(torch.inf).argsort(stable=True)[:count].tolist()
    return [words[place] for place in places]


def _losses(pipeline: Any, prompts: Sequence[str], task: Noised) -> Tensor:
    """Return the mean loss of each prompt, [n], all of them in one pass a latent."""
    fed = conditioning(pipeline, prompts)
    tasks = [_copies(task, place, len(prompts)) for place in range(len(task.noisy))]
    return torch.stack([errors(pipeline, own, fed) for own in tasks]).mean(0).cpu()


def _copies(task: Noised, at: int, count: int) -> Noised:
    """Return one of the task's latents `count` times."""
    return Noised(*(part[at : at + 1].expand(count, *part.shape[1:]) for part in (task.noisy, task.times, task.goal)))


ATTACK = WordSweep
