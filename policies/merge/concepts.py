"""Concepts and retained concepts of several policies as those of one.

Names that mean one thing, or that an encoder reads as one, are one thing. What one policy erases no other can keep.
What cannot be folded without guessing is a PolicyConflict that names both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from expunge.policies.errors import PolicyConflict, shown
from expunge.policies.model.canonical import composed_json
from expunge.policies.model.policy import Policy
from expunge.policies.model.schema import Concept, Retained, Strict
from expunge.policies.model.text import name_key, reading_key

Item = TypeVar("Item", Concept, Retained)


@dataclass(frozen=True)
class Entry(Generic[Item]):
    """A concept or retained concept, and the request that named it."""

    request_id: str
    item: Item

    @cached_property
    def keys(self) -> set[str]:
        return {reading_key(name) for name in _names(self.item)}

    @cached_property
    def name(self) -> str:
        return reading_key(self.item.name)


def folded(policies: Sequence[Policy]) -> tuple[tuple[Concept, ...], tuple[Retained, ...]]:
    """All that these policies erase, and what they keep of all else, each sorted by id, for any order of them."""
    groups = _same_concepts([Entry(p.request_id, item) for p in policies for item in p.concepts])
    kept = _kept([Entry(p.request_id, item) for p in policies for item in p.retain], groups)
    _refuse_shared_ids([*groups, *kept])
    concepts = _become_what_stays([_merged_concept(group) for group in groups])
    retain = [_merged_retained(group) for group in kept]
    return tuple(sorted(concepts, key=lambda item: item.id)), tuple(sorted(retain, key=lambda item: item.id))


def _same_concepts(entries: Sequence[Entry[Concept]]) -> list[list[Entry[Concept]]]:
    """Return groups of entries that mean one concept: the name of one is a name or alias of another in the group."""
    ordered = sorted(entries, key=_order)
    group_of = {entry.name: [entry.name] for entry in ordered}  # by each name all names that mean the same
    for entry in ordered:
        for other in sorted(entry.keys & group_of.keys()):
            if (joined := group_of[entry.name]) is not (more := group_of[other]):
                joined += more
                group_of |= dict.fromkeys(more, joined)
    groups: dict[int, list[Entry[Concept]]] = {}
    for entry in ordered:
        groups.setdefault(id(group_of[entry.name]), []).append(entry)
    return list(groups.values())


def _kept(entries: Sequence[Entry[Retained]], groups: Sequence[list[Entry[Concept]]]) -> list[list[Entry[Retained]]]:
    """Retained entries by name, without those that any policy erases."""
    erased = {key for group in groups for entry in group for key in entry.keys}
    by_name: dict[str, list[Entry[Retained]]] = {}
    for entry in sorted(entries, key=_order):
        if entry.name not in erased:
            by_name.setdefault(entry.name, []).append(entry)
    return list(by_name.values())


def _refuse_shared_ids(groups: Sequence[list[Entry[Concept]] | list[Entry[Retained]]]) -> None:
    owner: dict[str, tuple[int, Entry[Concept] | Entry[Retained]]] = {}
    for number, group in enumerate(groups):
        for entry in group:
            known, other = owner.setdefault(entry.item.id, (number, entry))
            if known != number:
                problem = f"{shown(entry.item.id)} stands for {shown(other.item.name)} and for {shown(entry.item.name)}"
                raise PolicyConflict("id", problem, "rename one", [other.request_id, entry.request_id])


def _become_what_stays(concepts: Sequence[Concept]) -> list[Concept]:
    """Return the concepts with anchors that stay.

    An anchor that is erased itself is replaced by its own anchor. Where this goes round in a ring, the concept has
    none. The earlier policy cannot be changed, and a later order must not fail by it.
    """
    erased = {reading_key(name): concept for concept in concepts for name in _names(concept)}
    return [concept.model_copy(update={"anchor": _last_anchor(concept, erased)}) for concept in concepts]


def _last_anchor(concept: Concept, erased: Mapping[str, Concept]) -> str:
    passed = {concept.id}
    while following := erased.get(reading_key(concept.anchor)):
        if following.id in passed:
            return ""
        passed.add(following.id)
        concept = following
    return concept.anchor


def _merged_concept(group: Sequence[Entry[Concept]]) -> Concept:
    first = group[0]
    for part in ("category", "anchor"):
        _refuse_difference(part, group)
    names = [name for entry in group for name in _names(entry.item)]
    return Concept(
        id=first.item.id,
        name=first.item.name,
        aliases=_union(names, without=first.item.name),
        prompts=_union(prompt for entry in group for prompt in entry.item.prompts),
        category=first.item.category,
        anchor=first.item.anchor,
    )


def _merged_retained(group: Sequence[Entry[Retained]]) -> Retained:
    first = group[0].item
    _refuse_difference("category", group)
    return Retained(
        id=first.id,
        name=first.name,
        prompts=_union(prompt for entry in group for prompt in entry.item.prompts),
        kind="look_alike" if any(entry.item.kind == "look_alike" for entry in group) else "general",
        category=first.category,
        kin=_union(name for entry in group for name in entry.item.kin),
    )


def _refuse_difference(part: str, group: Sequence[Entry[Concept]] | Sequence[Entry[Retained]]) -> None:
    first = group[0]
    for other in group[1:]:
        ours, theirs = getattr(first.item, part), getattr(other.item, part)
        if reading_key(ours) != reading_key(theirs):
            problem = f"of {shown(first.item.name)} is {shown(ours)} in one and {shown(theirs)} in the other"
            raise PolicyConflict(part, problem, "make them equal", [first.request_id, other.request_id])


def _union(texts: Iterable[str], without: str = "") -> tuple[str, ...]:
    """Each text once by its key, as it is spelled first, in the sorted order of the keys."""
    by_key: dict[str, str] = {}
    for text in texts:
        by_key.setdefault(name_key(text), text)
    by_key.pop(name_key(without), None)
    return tuple(by_key[key] for key in sorted(by_key))


def _names(item: Concept | Retained) -> tuple[str, ...]:
    return (item.name, *item.aliases) if isinstance(item, Concept) else (item.name,)


def written(item: Strict) -> str:
    """Its canonical JSON, the same for the same content."""
    return composed_json(item.model_dump(mode="json")).decode()


def _order(entry: Entry[Concept] | Entry[Retained]) -> tuple[str, str, str]:
    return entry.item.id, entry.name, written(entry.item)
