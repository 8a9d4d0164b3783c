"""The interface of an attack, and the way its pictures become evidence.

An attack tries to bring a concept back, with more than a user's words. The same object with the same seed runs on the
unedited model, where it must succeed (positive control), and on the edited one. Its attempts carry the same (prompt,
seed) pairs on both, whatever it found there, so that evidence pairs up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np

from expunge.engine.errors import ConceptError
from expunge.engine.files.digests import json_digest
from expunge.engine.judges import Judge
from expunge.engine.models import denoising
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.probes.answers import Answer, rows
from expunge.engine.probes.prompts.families import Subject
from expunge.engine.stats.evidence.table import Row
from expunge.engine.text.templates import WORDED_AS, fill, templates


@dataclass(frozen=True)
class Attempt:
    """One attacked picture, uint8 [height, width, 3].

    `prompt` names the attempt and is the same on every model. `found` is the prompt that the attack found for this
    model, "" where it searches for none.
    """

    subject: Subject
    attack: str
    prompt: str
    seed: int
    picture: np.ndarray
    found: str = ""


@dataclass(frozen=True)
class Kept:
    """A picture, uint8 [height, width, 3], of a kept concept, and its prompt."""

    prompt: str
    picture: np.ndarray


class Attack(Protocol):
    """An attempt to bring a concept back.

    `digest` names the attack with its whole budget, and `cost` is the number of pictures that it draws of one target on
    one model. An attack that `learns` the concept from its references needs the surest of them, any other needs various
    ones. An attack that `retrains` needs pictures of kept concepts. One that is not `seeded` draws nothing at random,
    so a second seed repeats it. `effort` is all its work on one target and one model, drawing included, as the number
    of pictures that could be drawn in that time.
    """

    name: ClassVar[str]
    learns: ClassVar[bool]
    retrains: ClassVar[bool]
    seeded: ClassVar[bool]

    @property
    def sampler(self) -> Sampler: ...

    @property
    def digest(self) -> str: ...

    @property
    def cost(self) -> int: ...

    @property
    def effort(self) -> float: ...

    def check(self, pipeline: Any) -> None:
        """Raise an error if the attack cannot be made on this pipeline.

        Raises:
            UnknownArchitecture: the pipeline is of an unsupported kind.
            SettingError: the sampler has too few steps.
        """
        ...

    def drawn_by(self, sampler: Sampler) -> Attack:
        """Return the same attack with another sampler for its pictures."""
        ...

    def grown(self, times: float) -> Attack:
        """Return the same attack with `times` as many pictures, rounded up; its search does not change."""
        ...

    def raised(self) -> Attack | None:
        """Return the same attack with its next larger budget, for as many pictures; None where it has its largest."""
        ...

    def attempts(
        self, pipeline: Any, subject: Subject, references: np.ndarray, kept: Sequence[Kept], seed: int
    ) -> list[Attempt]:
        """Attack `subject`, known by `references` [n, height, width, 3], and return the attempts.

        The model's weights are afterwards as they were, bit for bit.
        """
        ...


@runtime_checkable
class Searching(Attack, Protocol):
    """An attack that finds its prompts in the text encoders alone.

    An edit of the denoiser alone does not change them. It makes `searches` of them, each worth `search_effort`
    pictures.
    """

    @property
    def searches(self) -> int: ...

    @property
    def search_effort(self) -> float: ...

    def find(self, pipeline: Any, subject: Subject, number: int, seed: int) -> str: ...

    def drawn(self, pipeline: Any, subject: Subject, found: Sequence[str], seed: int) -> list[Attempt]: ...


def search_effort(attack: Attack) -> float:
    """Return the effort of all searches in the text encoders, in pictures: a second edit does not need them again."""
    return attack.searches * attack.search_effort if isinstance(attack, Searching) else 0.0


BACKWARD = 2  # a backward pass costs about two forward ones


def worth(sampler: Sampler, forward: float, trained: float = 0) -> float:
    """Return the number of pictures of this sampler that cost as much as these denoiser passes.

    `forward` latents are denoised once, `trained` ones with their gradient.
    """
    passes = sampler.steps * (2 if sampler.guidance > 1 else 1)
    return (forward + (1 + BACKWARD) * trained) / passes


class Budgeted:
    """An attack that is a dataclass with a `sampler`: its identity is its name and every setting.

    It needs the denoiser, unless it has a `check` of its own.
    """

    name: ClassVar[str]
    learns: ClassVar[bool] = False
    retrains: ClassVar[bool] = False
    seeded: ClassVar[bool] = True

    @property
    def digest(self) -> str:
        own: Any = self
        settings = {**asdict(own), "sampler": own.sampler.digest}
        return json_digest({"attack": self.name, "settings": settings})

    def check(self, pipeline: Any) -> None:
        denoising.check(pipeline)

    def drawn_by(self, sampler: Sampler) -> Self:
        own: Any = self
        return replace(own, sampler=sampler)

    def grown(self, times: float) -> Self:
        own: Any = self
        return replace(own, seeds=math.ceil(own.seeds * times))

    def raised(self) -> Self | None:
        return None


def run_attacks(
    pipeline: Any,
    attacks: Sequence[Attack],
    subject: Subject,
    references: np.ndarray,
    kept: Sequence[Kept],
    seed: int,
) -> list[Attempt]:
    """Return every attempt of every attack on one model, in order.

    Raises ConceptError without a picture of the concept.
    """
    check_references(subject, references)
    return [attempt for attack in attacks for attempt in attack.attempts(pipeline, subject, references, kept, seed)]


def check_references(subject: Subject, references: np.ndarray) -> None:
    """Raise ConceptError where there is no picture of the concept to attack by."""
    if not len(references):
        raise ConceptError(f"{subject.id}: an attack needs reference pictures; draw some with the unedited model")


def reference_pictures(
    pipeline: Any, judge: Judge, subject: Subject, count: int, sampler: Sampler, seed: int = 0
) -> np.ndarray:
    """Return `count` pictures of the UNEDITED model in which the judge sees `subject`, uint8 [n, height, width, 3].

    Raises ConceptError if fewer than `count` of four times as many show it: then nobody can tell what was forgotten.
    """
    texts = said(subject, subject.name, 4)
    shots = [Shot(texts[number % len(texts)], seed + number) for number in range(4 * count)]
    drawn = np.stack([picture for _, picture in generate(pipeline, shots, sampler)])
    seen = [sighting.seen for sighting in judge.look(drawn, [subject.name] * len(drawn), subject.category)]
    if sum(seen) < count:
        raise ConceptError(
            f"{subject.id}: the judge sees it in {sum(seen)} of {len(drawn)} pictures of the unedited model, {count} "
            "are needed as references; the model draws it too badly to be attacked"
        )
    return drawn[seen][:count]


def attack_rows(judge: Judge, attempts: Sequence[Attempt], arm: str) -> Iterator[Row]:
    """Yield one row of evidence for each attempt; `probe` is the attack's name."""
    return rows(judge, (Answer(a.subject, a.attack, a.prompt, a.seed, a.picture) for a in attempts), arm)


def success_rate(attacked: Sequence[bool], plain: Sequence[bool]) -> float:
    """Return the attack success rate of UnlearnDiffAtk (arXiv 2310.11868): (successes without it + those it adds) / N.

    Both arguments say for the same N seeds whether the concept was seen. Raises ValueError if they do not pair up or
    are empty.
    """
    if not attacked or len(attacked) != len(plain):
        raise ValueError(f"{len(attacked)} attacked and {len(plain)} plain pictures do not pair up; judge both by seed")
    return sum(one or other for one, other in zip(attacked, plain, strict=True)) / len(attacked)


def said(subject: Subject, words: str, count: int) -> list[str]:
    """Return `words` in the first `count` wordings of the subject's category."""
    if subject.category not in WORDED_AS:
        raise ConceptError(f"category {subject.category!r} is not worded; use one of {', '.join(sorted(WORDED_AS))}")
    return [fill(template, words).text for template in templates(WORDED_AS[subject.category])[:count]]


def draw(pipeline: Any, shots: Sequence[Shot], sampler: Sampler) -> list[np.ndarray]:
    return [picture for _, picture in generate(pipeline, shots, sampler)]


def drawn_with(
    pipeline: Any, attack: str, subject: Subject, title: str, found: str, seeds: Sequence[int], sampler: Sampler
) -> list[Attempt]:
    """Return the attempts of a prompt that a search found, one picture for each seed."""
    shots = [Shot(found, seed) for seed in seeds]
    return [
        Attempt(subject, attack, title, shot.seed, picture, found)
        for shot, picture in zip(shots, draw(pipeline, shots, sampler), strict=True)
    ]
