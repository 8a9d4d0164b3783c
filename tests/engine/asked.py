"""Questions with nothing in them but what a plan needs (`engine.rounds`)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    id: str
    role: str
    category: str = "object"


@dataclass(frozen=True)
class Shot:
    prompt: str
    seed: int


@dataclass(frozen=True)
class Question:
    subject: Subject
    probe: str
    shot: Shot
