"""Every attack, as small as it can be, on a concept that tiny models have words for, and what attacks are tried by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from expunge.engine.judges import Sighting
from expunge.engine.models.denoising import errors, noised
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.probes.attacks import (
    Attack,
    ConceptVector,
    Inversion,
    OtherSettings,
    PromptSearch,
    Relearn,
    StartPicture,
    WordSweep,
)
from expunge.engine.probes.attacks.words import conditioning
from expunge.engine.probes.prompts.families import Subject
from tests.engine import tiny
from tests.engine.families import tiny_families

CAT = Subject("cat", "target", "object", "cat", ("kitty",))
SAMPLER = Sampler(steps=2, batch=4)
FAMILIES: dict[str, Callable[[], Any]] = {
    "sd": tiny.pipeline,
    "sdxl": tiny_families.sdxl,
    "sd3": tiny_families.sd3,
    "flux": tiny_families.flux,
    "animatediff": tiny_families.animatediff,
    "cogview3-plus": tiny_families.cogview3,
    "aura-flow": tiny_families.aura_flow,
}
SMALL: tuple[Attack, ...] = (
    Inversion(steps=2, batch=2, wordings=2, seeds=1, sampler=SAMPLER),
    PromptSearch(words=2, searches=2, steps=1, trials=2, batch=2, seeds=1, sampler=SAMPLER),
    ConceptVector(words=2, searches=2, pairs=2, population=6, generations=2, seeds=1, sampler=SAMPLER),
    StartPicture(strengths=(0.5, 1.0), starts=2, sampler=SAMPLER),
    Relearn(steps=2, batch=2, wordings=2, seeds=1, sampler=SAMPLER),
    OtherSettings(wordings=1, seeds=1, sampler=SAMPLER),
    WordSweep(most=6, finalists=2, batch=2, seeds=1, sampler=SAMPLER),
)


def pictures(pipeline: Any, prompts: Sequence[str]) -> list[np.ndarray]:
    return [picture for _, picture in generate(pipeline, [Shot(prompt, 3) for prompt in prompts], SAMPLER)]


def loss(pipeline: Any, prompt: str, latents: torch.Tensor, seed: int = 0) -> torch.Tensor:
    task = noised(pipeline, latents, torch.Generator().manual_seed(seed))
    fed = {key: value.expand(len(latents), *value.shape[1:]) for key, value in conditioning(pipeline, [prompt]).items()}
    return errors(pipeline, task, fed).mean()


class BrightJudge:
    """Sees the concept in bright pictures; a real rule, whatever the concept."""

    digest = "brightness"
    categories = frozenset({"object"})

    def __init__(self, limit: float = 127) -> None:
        self.limit = limit

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        assert len(pictures) == len(concepts)
        return [Sighting(bool(picture.mean() > self.limit), float(picture.mean() / 255)) for picture in pictures]
