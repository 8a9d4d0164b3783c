"""Answers become evidence: what was asked, the picture that came of it, and what the judge sees in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from expunge.engine.judges import Judge, Sighting, fault, look_for_any
from expunge.engine.models.picture_store import pixel_digest
from expunge.engine.probes.prompts import Question, Subject
from expunge.engine.stats.evidence_table import ARMS, Row


@dataclass(frozen=True)
class Answer:
    """A picture, uint8 [height, width, 3], and what was asked; `probe` is the prompt family or the attack."""

    subject: Subject
    probe: str
    prompt: str
    seed: int
    picture: np.ndarray

    @classmethod
    def to(cls, question: Question, picture: np.ndarray) -> Answer:
        return cls(question.subject, question.probe, question.shot.prompt, question.shot.seed, picture)


def _sightings(judge: Judge, block: Sequence[Answer], pictures: np.ndarray, category: str) -> list[Sighting]:
    """A concept is seen where the judge sees it by its name, or by any other that it knows it by."""
    names = [list(dict.fromkeys([answer.subject.name, *answer.subject.seen_as])) for answer in block]
    return look_for_any(judge, pictures, names, category)


def rows(judge: Judge, answers: Iterable[Answer], arm: str) -> Iterator[Row]:
    """One row of evidence for each answer, in their order; neighbours of one category are judged together."""
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
    """Tell which reading counts: of a target after the edit the one that sees more, of all else the plain one.

    What must be gone is seen where there is any sign of it. What must stay, and what the unedited model has to show in
    a positive control or as a reference of an attack, is seen where there is no doubt. So no doubt of the judge helps
    an edit to pass.
    """
    return subject.role == "target" and arm != ARMS[0]
