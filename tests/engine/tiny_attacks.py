"""Every attack, as small as it can be, on a concept that tiny models have words for, and the families to attack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.probes.attacks import Attack, ConceptVector, Inversion, PromptSearch, Relearn, StartPicture
from engine.probes.prompts import Subject
from engine.sampling import Sampler
from tests.engine import tiny, tiny_families

CAT = Subject("cat", "target", "object", "cat", ("kitty",))
SAMPLER = Sampler(steps=2, batch=4)
FAMILIES: dict[str, Callable[[], Any]] = {
    "sd": tiny.pipeline,
    "sdxl": tiny_families.sdxl,
    "sd3": tiny_families.sd3,
    "flux": tiny_families.flux,
    "animatediff": tiny_families.animatediff,
}
SMALL: tuple[Attack, ...] = (
    Inversion(steps=2, batch=2, wordings=2, seeds=1, sampler=SAMPLER),
    PromptSearch(words=2, searches=2, steps=1, trials=2, batch=2, seeds=1, sampler=SAMPLER),
    ConceptVector(words=2, searches=2, pairs=2, population=6, generations=2, seeds=1, sampler=SAMPLER),
    StartPicture(strengths=(0.5, 1.0), starts=2, sampler=SAMPLER),
    Relearn(steps=2, batch=2, wordings=2, seeds=1, sampler=SAMPLER),
)
