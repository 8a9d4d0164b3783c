"""Checks across fields: names and ids that collide, and limits that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from expunge.policies.errors import PolicyError, shown
from expunge.policies.model.lasting import permanent
from expunge.policies.model.schema import Request
from expunge.policies.model.text import name_key, reading_key

MOST_PER_CONCEPT = 100
MOST_RETAINED = 1000


def cross_errors(policy: Request) -> list[PolicyError]:
    """Every contradiction inside `policy`, with its field but no line yet."""
    checks = (_ids, _names, _anchors, _kin, _counts, _rates, _replaced, _withdrawal, _expiry)
    return [error for check in checks for error in check(policy)]


def target_names(policy: Request) -> Iterator[tuple[str, str]]:
    """(field, name) of every name and alias to be erased, in the order of the file."""
    for i, concept in enumerate(policy.concepts):
        yield f"concepts[{i}].name", concept.name
        for j, alias in enumerate(concept.aliases):
            yield f"concepts[{i}].aliases[{j}]", alias


def _ids(policy: Request) -> Iterator[PolicyError]:
    first: dict[str, str] = {}
    for group, entries in (("concepts", policy.concepts), ("retain", policy.retain)):
        for i, entry in enumerate(entries):
            field = f"{group}[{i}].id"
            if entry.id in first:
                problem = f"{shown(entry.id)} is the id of {first[entry.id]} already"
                yield PolicyError(field, problem, "give each entry an id of its own")
            first.setdefault(entry.id, field)


def _names(policy: Request) -> Iterator[PolicyError]:
    """Yield the names that two entries share.

    A concept may have a name in several spellings that an encoder reads as one; two things may not.
    """
    spelled: dict[str, tuple[str, str]] = {}
    erased: dict[str, tuple[str, str]] = {}
    for field, name in target_names(policy):
        yield from _once(field, name, spelled, name_key(name))
        other, twin = erased.setdefault(reading_key(name), (field, name))
        if _thing(other) != _thing(field) and name_key(twin) != name_key(name):
            problem = f"an encoder reads {shown(name)} as it reads {other} {shown(twin)}"
            yield PolicyError(field, problem, "make one of them an alias of the other")
    kept: dict[str, tuple[str, str]] = {}
    for i, entry in enumerate(policy.retain):
        field = f"retain[{i}].name"
        if reading_key(entry.name) in erased:
            other, target = erased[reading_key(entry.name)]
            problem = f"{shown(entry.name)} is to be kept, but {other} {shown(target)} erases it"
            yield PolicyError(field, problem, "remove one of the two")
        else:
            yield from _once(field, entry.name, kept, reading_key(entry.name))


def _thing(field: str) -> str:
    return field.partition(".")[0]


def _once(field: str, name: str, seen: dict[str, tuple[str, str]], key: str) -> Iterator[PolicyError]:
    if key in seen:
        other, twin = seen[key]
        yield PolicyError(field, f"{shown(name)} repeats {other} {shown(twin)}", "name each thing once")
    seen.setdefault(key, (field, name))


def _anchors(policy: Request) -> Iterator[PolicyError]:
    erased = {reading_key(name): (field, name) for field, name in target_names(policy)}
    for i, concept in enumerate(policy.concepts):
        if reading_key(concept.anchor) in erased:
            other, target = erased[reading_key(concept.anchor)]
            problem = f"{shown(concept.anchor)} is itself erased by {other} {shown(target)}"
            yield PolicyError(f"concepts[{i}].anchor", problem, 'name what stays, or "" to leave it to the editor')


def _kin(policy: Request) -> Iterator[PolicyError]:
    erased = {name_key(name) for _, name in target_names(policy)}
    for i, entry in enumerate(policy.retain):
        for j, name in enumerate(entry.kin):
            if name_key(name) not in erased:
                cure = "name a target that this is a kind of, or that is a kind of this"
                yield PolicyError(f"retain[{i}].kin[{j}]", f"{shown(name)} is no target here", cure)


def _counts(policy: Request) -> Iterator[PolicyError]:
    most = policy.limits.max_concepts
    if not policy.concepts and not policy.replaces:
        cure = "name at least one concept to erase, or the requests that this one withdraws by `replaces`"
        yield PolicyError("concepts", "is empty", cure)
    if len(policy.concepts) > most:
        problem = f"names {len(policy.concepts)} concepts, but limits.max_concepts is {most}"
        yield PolicyError("concepts", problem, "split the request or raise the limit")
    if len(policy.retain) > MOST_RETAINED:
        yield PolicyError("retain", f"has {len(policy.retain)} entries", f"use at most {MOST_RETAINED}")
    for group, entries in (("concepts", policy.concepts), ("retain", policy.retain)):
        for i, entry in enumerate(entries):
            for part in ("aliases", "prompts", "kin"):
                count = len(getattr(entry, part, ()))
                if count > MOST_PER_CONCEPT:
                    field = f"{group}[{i}].{part}"
                    yield PolicyError(field, f"has {count} entries", f"use at most {MOST_PER_CONCEPT}")


def _rates(policy: Request) -> Iterator[PolicyError]:
    wanted = policy.acceptance
    if wanted.max_target_rate >= wanted.min_control_rate:
        problem = (
            f"{wanted.max_target_rate} is not below acceptance.min_control_rate {wanted.min_control_rate}, "
            "so the unedited model would pass"
        )
        yield PolicyError("acceptance.max_target_rate", problem, "lower it")


def _replaced(policy: Request) -> Iterator[PolicyError]:
    seen: set[str] = set()
    for i, request_id in enumerate(policy.replaces):
        if request_id == policy.request_id:
            yield PolicyError(f"replaces[{i}]", "is this request itself", "give the new request an id of its own")
        if request_id in seen:
            yield PolicyError(f"replaces[{i}]", f"repeats {shown(request_id)}", "name each request once")
        seen.add(request_id)


def _withdrawal(policy: Request) -> Iterator[PolicyError]:
    """Yield the fields that say how something is done in a policy that erases nothing."""
    if policy.concepts:
        return
    for field in ("retain", "acceptance", "limits", "editor", "reverify", "seed", "expires_at"):
        if getattr(policy, field) != type(policy).model_fields[field].default:
            yield PolicyError(field, "has no meaning in a policy that erases nothing", "leave it out")


def _expiry(policy: Request) -> Iterator[PolicyError]:
    if policy.expires_at:
        yield from permanent(policy.kind)
    if policy.expires_at and policy.expires_at <= policy.received_at:
        problem = f"{policy.expires_at.isoformat()} is not after received_at {policy.received_at.isoformat()}"
        yield PolicyError("expires_at", problem, "name a later moment, or leave it out")
    if policy.on_expiry and policy.concepts:
        cure = "leave it out; the end of a policy is its expires_at"
        yield PolicyError("on_expiry", "has no meaning in a policy that erases something", cure)
