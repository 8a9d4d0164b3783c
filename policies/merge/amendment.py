"""What a policy changes of one whose place it takes, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from expunge.policies.model.policy import Policy
from expunge.policies.model.schema import Concept, Retained, Strict

SECTIONS = {"acceptance": "limit", "limits": "budget", "editor": "editor", "reverify": "check"}


def changes(before: Policy, after: Policy) -> list[str]:
    """Return what `after` asks for otherwise than `before`, one sentence a change; none where it asks the same."""
    return list(_all_changes(before, after))


def _all_changes(before: Policy, after: Policy) -> Iterator[str]:
    if after.on_expiry:
        yield f"expired at: {_end(before)}"
    yield from _names("erases", before.concepts, after.concepts)
    yield from _names("keeps", before.retain, after.retain)
    for old, new in _pairs(before.concepts, after.concepts):
        yield from _fields(f"{new.name}: ", old, new)
    if after.concepts and before.expires_at != after.expires_at:
        yield f"holds until: {_end(before)} becomes {_end(after)}"
    if not after.concepts:  # all that says how to erase is left out
        return
    for section, words in SECTIONS.items():
        yield from _fields(f"{words}: ", getattr(before, section), getattr(after, section))
    if before.base != after.base:
        yield f"model: {before.base.sha256[:12]} becomes {after.base.sha256[:12]}"
    if before.seed != after.seed:
        yield f"seed: {before.seed} becomes {after.seed}"


def _names(verb: str, before: Iterable[Concept | Retained], after: Iterable[Concept | Retained]) -> Iterator[str]:
    old, new = [one.name for one in before], [one.name for one in after]
    if more := [name for name in new if name not in old]:
        yield f"{verb} more: {', '.join(more)}"
    if fewer := [name for name in old if name not in new]:
        yield f"{verb} no more: {', '.join(fewer)}"


def _pairs(before: Iterable[Concept], after: Iterable[Concept]) -> Iterator[tuple[Concept, Concept]]:
    old = {one.name: one for one in before}
    yield from ((old[one.name], one) for one in after if one.name in old)


def _fields(prefix: str, before: Strict, after: Strict) -> Iterator[str]:
    """Yield the fields of two models that differ; an id is a name inside the policy alone."""
    for name in type(after).model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if old != new and name != "id":
            yield f"{prefix}{name.replace('_', ' ')} {_shown(old)} becomes {_shown(new)}"


def _end(policy: Policy) -> str:
    return policy.expires_at.isoformat() if policy.expires_at else "withdrawn"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"
