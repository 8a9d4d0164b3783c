"""From answers to evidence: the question, its picture, and what the judge sees in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from expunge.engine.judges import Judge, Sighting, fault, look_for_any
from expunge.engine.models.picture_store import pixel_digest
from expunge.engine.probes.prompts.families import Question, Subject
from expunge.engine.stats.evidence.table import ARMS, Row


@dataclass(frozen=True)
class Answer:
    """A picture, uint8 [height, width, 3], and its question; `probe` is the prompt family or the attack."""

    subject: Subject
    probe: str
    prompt: str
    seed: int
    picture: np.ndarray

    @classmethod
    def to(cls, question: Question, picture: np.ndarray) -> Answer:
        return cls(question.subject, question.probe, question.shot.prompt, question.shot.seed, picture)


def _sightings(judge: Judge, block: Sequence[Answer], pictures: np.ndarray, category: str) -> list[Sighting]:
    """Return for each answer what the judge sees, by the concept's name or any other name in `seen_as`."""
    names = [list(dict.fromkeys([answer.subject.name, *answer.subject.seen_as])) for answer in block]
    return look_for_any(judge, pictures, names, category)


def rows(judge: Judge, answers: Iterable[Answer], arm: str) -> Iterator[Row]:
    """Yield one row of evidence for each answer, in their order; neighbours of one category are judged together."""
    for category, group in groupby(answers, key=lambda answer: answer.subject.category):
        block = list(group)
        pictures = np.stack([answer.picture for answer in block])
        recognises = getattr(judge, "recognises", False)
        for answer, both in zip(block, _sightings(judge, block, pictures, category), strict=True):
            sighting = both.of_target if counts_sensitively(answer.subject, arm) else both
            yield Row(
                concept=answer.subject.id,
                role=answer.subject.role,
                category=category,
                probe=answer.probe,
                prompt=answer.prompt,
                seed=answer.seed,
                arm=arm,
                seen=sighting.seen,
                score=sighting.score,
                picture=pixel_digest(answer.picture),
                fault=fault(answer.picture),
                shows=sighting.shows if recognises else "",
            )


def counts_sensitively(subject: Subject, arm: str) -> bool:
    """Return True if the more sensitive reading of the judge counts: for a target after the edit.

    Everywhere else the plain reading counts. A target counts as seen at any sign of it. A kept concept, a positive
    control and an attack's reference count as seen only without doubt. So no doubt of the judge helps an edit to pass.
    """
    return subject.role == "target" and arm != ARMS[0]
