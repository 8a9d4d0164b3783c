"""Revival by honest training: does the concept come back when the model is tuned on kept concepts?

Whoever publishes a model must expect others to fine-tune it. Some steps on pictures of KEPT concepts show no picture
and no name of the target. If they undo an edit, the edit hid the concept and did not remove it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from expunge.engine.errors import ConceptError, EditError
from expunge.engine.families import projections
from expunge.engine.models.denoising import denoiser, errors, latents_of, noised
from expunge.engine.models.sampling import Sampler, Shot
from expunge.engine.probes.attacks.base import Attempt, Budgeted, Kept, draw, said, worth
from expunge.engine.probes.attacks.words import conditioning
from expunge.engine.probes.prompts.families import Subject
from expunge.engine.probes.prompts.further_families import names_it


@dataclass(frozen=True)
class Relearn(Budgeted):
    """Fine-tuning: `steps` of AdamW at `rate` on `batch` kept pictures each.

    It tunes the `whole` denoiser, or the text projections only. Then the concept is asked for by name, `seeds` pictures
    in each of `wordings` wordings.
    """

    name: ClassVar[str] = "relearn"
    retrains: ClassVar[bool] = True
    steps: int = 50
    batch: int = 8
    rate: float = 1e-4
    whole: bool = True
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
        """Tune, ask by name, then restore every weight.

        Raises ConceptError if every kept picture's prompt names the target.
        """
        lessons = self.lessons(subject, references, kept)
        texts = said(subject, subject.name, self.wordings)
        shots = [Shot(text, seed + number) for text in texts for number in range(self.seeds)]
        tuned = list(denoiser(pipeline).parameters()) if self.whole else [p.weight for p in projections(pipeline)]
        with restored(tuned):
            self.tune(pipeline, tuned, lessons, seed)
            pictures = draw(pipeline, shots, self.sampler)
        return [
            Attempt(subject, self.name, f"{self.name}: {shot.prompt}", shot.seed, picture)
            for shot, picture in zip(shots, pictures, strict=True)
        ]

    def lessons(self, subject: Subject, references: np.ndarray, kept: Sequence[Kept]) -> list[Kept]:
        """Return the pictures to tune on, with their prompts."""
        return _nameless(subject, kept)

    def tune(self, pipeline: Any, tuned: Sequence[nn.Parameter], kept: Sequence[Kept], seed: int) -> None:
        """Fine-tune in place on the kept pictures by the model's own denoising loss."""
        if any(weight.dtype == torch.float16 for weight in tuned):
            raise EditError("denoiser", "fine-tuning in float16 overflows; open the model in float32 for relearn")
        generator = torch.Generator().manual_seed(seed)
        latents = latents_of(pipeline, np.stack([item.picture for item in kept]))
        with torch.no_grad():
            spoken = conditioning(pipeline, [item.prompt for item in kept])
        optimizer = torch.optim.AdamW(tuned, lr=self.rate)
        for _ in range(self.steps):
            chosen = torch.randperm(len(kept), generator=generator)[: self.batch]
            fed = {key: value[chosen.to(value.device)] for key, value in spoken.items()}
            loss = errors(pipeline, noised(pipeline, latents[chosen.to(latents.device)], generator), fed).mean()
            loss.backward(inputs=list(tuned))
            optimizer.step()
            optimizer.zero_grad()


@contextmanager
def restored(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let the weights be tuned inside, and restore them afterwards bit for bit, whatever happened."""
    originals = [(weight.detach().clone(), weight.requires_grad) for weight in weights]
    for weight in weights:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, (original, asked) in zip(weights, originals, strict=True):
                weight.copy_(original)
                weight.grad = None
                weight.requires_grad_(asked)


def _nameless(subject: Subject, kept: Sequence[Kept]) -> list[Kept]:
    """Return the kept pictures whose prompt does not name the target.

    "police car" names it when a car was erased, and a revival by that would prove nothing.
    """
    rest = [item for item in kept if not names_it(item.prompt, subject)]
    if not rest:
        raise ConceptError(
            f"{subject.id}: relearn tunes on pictures of kept concepts, and of {len(kept)} none is without the "
            "target's name; give some"
        )
    return rest


ATTACK = Relearn
