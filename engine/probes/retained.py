"""What must be examined for damage when a policy names little or nothing to keep: a proposal, with reasons, as data."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.probes.levels import level_named
from engine.probes.look_alikes import LookAlike
from engine.probes.prompts import Subject


@dataclass(frozen=True)
class Proposal:
    """A concept to examine as well, why, and the target it is near to ("" for a general one)."""

    subject: Subject
    reason: str
    target: str = ""


def retained_subjects(
    subjects: Sequence[Subject],
    near: Mapping[str, Sequence[LookAlike]],
    pools: Mapping[str, Sequence[str]],
    level: str,
    seed: int = 0,
) -> list[Proposal]:
    """What the level examines beyond the subjects given; none at a level that adds nothing (`quick`).

    `near` holds the look-alikes of each target by its id, nearest first; `pools` the names of each category, such as
    the judge's labels. Each target's nearest concepts and, from each pool, some drawn by `seed` are to be examined;
    those that the policy retains already count, those it erases are never proposed.
    """
    wanted = level_named(level)
    near_ones = _near_ones(subjects, near, wanted.look_alikes)
    known = [*subjects, *(proposal.subject for proposal in near_ones)]
    return near_ones + _general_ones(known, pools, wanted.general, seed)


def _near_ones(subjects: Sequence[Subject], near: Mapping[str, Sequence[LookAlike]], count: int) -> list[Proposal]:
    erased = _names(subjects, "target")
    known = _names(subjects)
    proposals: list[Proposal] = []
    for target in (subject for subject in subjects if subject.role == "target"):
        nearest = [item for item in near.get(target.id, ()) if item.name.casefold() not in erased][:count]
        for item in (item for item in nearest if item.name.casefold() not in known):
            known.add(item.name.casefold())
            scores = ", ".join(f"{source} {score:.4f}" for source, score in sorted(item.scores.items()))
            subject = _subject(item.name, "look_alike", target.category)
            proposals.append(Proposal(subject, f"look-alike of {target.name}: {scores}", target.id))
    return proposals


def _general_ones(
    subjects: Sequence[Subject], pools: Mapping[str, Sequence[str]], count: int, seed: int
) -> list[Proposal]:
    known = _names(subjects)
    erased_in = {subject.category for subject in subjects if subject.role == "target"}
    proposals: list[Proposal] = []
    for category, pool in sorted(pools.items()):
        missing = count - sum(subject.role == "general" and subject.category == category for subject in subjects)
        free = sorted({name for name in pool if name.casefold() not in known})
        drawn = random.Random(f"retained/{category}/{seed}").sample(free, min(max(missing, 0), len(free)))
        reason = f"{'same' if category in erased_in else 'other'} category: {category}"
        proposals += [Proposal(_subject(name, "general", category), reason) for name in sorted(drawn)]
    return proposals


def _names(subjects: Sequence[Subject], role: str = "") -> set[str]:
    chosen = [subject for subject in subjects if subject.role == role or not role]
    return {name.casefold() for subject in chosen for name in subject.names}


def _subject(name: str, role: str, category: str) -> Subject:
    """Its id cannot be a policy's: those have no full stop."""
    return Subject(f"auto.{category}.{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}", role, category, name)
