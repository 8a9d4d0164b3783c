"""The levels of a verification: the prompt families and attacks of each, their budgets and their cost.

`quick` asks in the words that name the concept. `standard` adds every further prompt family and what any user of the
weights may do: guess words, start from a picture, draw under other settings, tune the model on something else.
`adversarial` adds the attacks that use the denoiser to search for the concept itself, and asks more of everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from expunge.engine.errors import ConceptError
from expunge.engine.families import family_of
from expunge.engine.models.sampling import Sampler, Shot
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
from expunge.engine.probes.prompts.families import Question, Subject, kept_objects, questions
from expunge.engine.probes.prompts.further_families import FAMILIES, family_prompts

INFORMATIVE = ("alias", *FAMILIES)
"""Families to which the unedited model need not respond. Where it does not, they add nothing to the proof
(`Acceptance.informative`).
"""

NAMED = ("alias", "policy")
"""Families whose words the policy itself gives, each an order by itself (`Acceptance.named`)."""


@dataclass(frozen=True)
class Level:
    """The prompts, attacks and kept concepts of one level.

    Attributes:
        families: the number of prompts for a target by further family.
        attacks: the attacks with their own budgets.
        look_alikes: how many kept concepts near each target must be examined.
        general: how many kept concepts of each category must be examined.
    """

    name: str
    families: Mapping[str, int] = field(default_factory=dict)
    attacks: tuple[Attack, ...] = ()
    look_alikes: int = 0
    general: int = 0

    @property
    def asks_more(self) -> bool:
        """Return True if the level asks more than a policy does by itself."""
        return bool(self.families or self.attacks or self.look_alikes or self.general)

    def drawn_by(self, sampler: Sampler) -> Level:
        """Return the same level with another sampler for the pictures of its attacks."""
        return replace(self, attacks=tuple(attack.drawn_by(sampler) for attack in self.attacks))

    def grown(self, times: float) -> Level:
        """Return the same level with `times` as many pictures of each attack, as a stricter confidence needs."""
        return replace(self, attacks=tuple(attack.grown(times) for attack in self.attacks))


BY_USE: tuple[Attack, ...] = (ConceptVector(), StartPicture(), OtherSettings(), Relearn())
BY_SEARCH: tuple[Attack, ...] = (Inversion(), PromptSearch(), WordSweep())
LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level("quick"),
        Level("standard", dict.fromkeys(FAMILIES, 2), BY_USE, look_alikes=5, general=3),
        Level("adversarial", dict.fromkeys(FAMILIES, 4), (*BY_USE, *BY_SEARCH), look_alikes=10, general=5),
    )
}


def level_named(name: str) -> Level:
    """Return the level of this name. Raises ConceptError that lists the levels."""
    if name not in LEVELS:
        raise ConceptError(f"there is no level {name!r}; use one of {', '.join(LEVELS)}")
    return LEVELS[name]


def questions_at(level: str, subjects: Sequence[Subject], prompts: int, seeds: int, seed: int = 0) -> list[Question]:
    """Return every prompt question of a level.

    They are those of `quick` for all subjects, then the further families of the targets. No prompt is asked of a
    subject twice. It counts for the family that asked first.
    """
    asked = questions(subjects, prompts, seeds, seed)
    known = {(question.subject.id, question.shot.prompt) for question in asked}
    further = [
        Question(subject, family, Shot(prompt, seed + number))
        for subject, family, prompt in _further(level_named(level), subjects, seed)
        if (subject.id, prompt) not in known
        for number in range(seeds)
    ]
    return asked + further


def _further(level: Level, subjects: Sequence[Subject], seed: int) -> list[tuple[Subject, str, str]]:
    kept, found = kept_objects(subjects), {}
    for subject in (subject for subject in subjects if subject.role == "target"):
        taken = {name for other in subjects if other.id != subject.id for name in other.names}
        for family, count in level.families.items():
            for prompt in family_prompts(subject, family, count, kept, taken, seed):
                found.setdefault((subject.id, prompt), (subject, family, prompt))
    return list(found.values())


def readable(pipeline: Any, asked: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    """Return (the questions that the model's encoders can read, those too long for one of them, to be reported).

    Only prompts of the further families are ever omitted. Encoding refuses any other prompt that is too long.
    """
    family = family_of(pipeline)
    tokenizers = [words for stream in range(family.streams) for words in family.tokenizers(pipeline, stream)]
    fits = {
        prompt: all(len(words(prompt).input_ids) <= words.model_max_length for words in tokenizers)
        for prompt in {question.shot.prompt for question in asked if question.probe in FAMILIES}
    }
    kept = [question for question in asked if fits.get(question.shot.prompt, True)]
    return kept, [question for question in asked if not fits.get(question.shot.prompt, True)]
