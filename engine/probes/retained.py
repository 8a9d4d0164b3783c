"""Kept concepts to examine for damage when a policy names few or none."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from expunge.canonical_json import sha256
from expunge.engine.probes.levels import level_named
from expunge.engine.probes.look_alikes import LookAlike
from expunge.engine.probes.prompts.families import Subject
from expunge.engine.spec import spoken


def retained_subjects(
    subjects: Sequence[Subject],
    near: Mapping[str, Sequence[LookAlike]],
    pools: Mapping[str, Sequence[str]],
    level: str,
    seed: int = 0,
) -> list[Subject]:
    """Return the kept concepts that the level examines beyond `subjects`; none at a level that adds nothing (`quick`).

    Each target's nearest concepts are examined, and some from each pool, drawn by `seed`. Those that the policy retains
    already count. Those that it erases are never among them.

    Args:
        near: the look-alikes of each target by its id, nearest first.
        pools: the names of each category, such as the judge's labels.
    """
    wanted = level_named(level)
    near_ones = _near_ones(subjects, near, wanted.look_alikes)
    return near_ones + _general_ones([*subjects, *near_ones], pools, wanted.general, seed)


def _near_ones(subjects: Sequence[Subject], near: Mapping[str, Sequence[LookAlike]], count: int) -> list[Subject]:
    erased = _names(subjects, "target")
    known = _names(subjects)
    found: list[Subject] = []
    for target in (subject for subject in subjects if subject.role == "target"):
        nearest = [item for item in near.get(target.id, ()) if spoken(item.name) not in erased][:count]
        for item in (item for item in nearest if spoken(item.name) not in known):
            known.add(spoken(item.name))
            found.append(_subject(item.name, "look_alike", target.category))
    return found


def _general_ones(
    subjects: Sequence[Subject], pools: Mapping[str, Sequence[str]], count: int, seed: int
) -> list[Subject]:
    known = _names(subjects)
    found: list[Subject] = []
    for category, pool in sorted(pools.items()):
        missing = count - sum(subject.role == "general" and subject.category == category for subject in subjects)
        free = sorted({name for name in pool if spoken(name) not in known})
        drawn = random.Random(f"retained/{category}/{seed}").sample(free, min(max(missing, 0), len(free)))
        found += [_subject(name, "general", category) for name in sorted(drawn)]
    return found


def _names(subjects: Sequence[Subject], role: str = "") -> set[str]:
    chosen = [subject for subject in subjects if subject.role == role or not role]
    return {spoken(name) for subject in chosen for name in subject.names}


def _subject(name: str, role: str, category: str) -> Subject:
    """Return a subject whose id no policy can have, because ids of policies have no full stop.

    Where the id cannot spell a name, its digest tells it from others.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if slug.replace("-", " ") != spoken(name):
        slug = f"{slug}-{sha256(name.encode())[:8]}".lstrip("-")
    return Subject(f"auto.{category}.{slug}", role, category, name)
