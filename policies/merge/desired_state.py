"""The policies in force for one base, folded into the one state the model must be in. Pure, and blind to order.

A state is the union of all concepts; what one policy erases no other can keep; of two demands the stricter holds, and
the time that each allows for its own work adds up. What cannot be folded without guessing is a PolicyConflict that
names both requests.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence
from typing import get_args

from expunge.policies.errors import PolicyConflict, PolicyError, shown
from expunge.policies.merge.concepts import folded, written
from expunge.policies.model.canonical import composed_json
from expunge.policies.model.policy import Policy
from expunge.policies.model.schema import (
    ATTACKS_AT,
    MOST_MINUTES,
    Acceptance,
    Base,
    Budget,
    Concept,
    Editor,
    Level,
    Retained,
    Strict,
    later,
)


class DesiredState(Strict):
    """Everything in force for one base, with concepts, retained concepts and request ids sorted.

    `unspared` are prompt families with a limit of their own that must not be proven to show a target in more than
    `max_target_rate` either. Without concepts the state is the base itself: all that was asked for has been withdrawn.
    """

    request_ids: tuple[str, ...]
    base: Base
    concepts: tuple[Concept, ...]
    retain: tuple[Retained, ...]
    acceptance: Acceptance
    limits: Budget
    editor: Editor
    seed: int
    unspared: tuple[str, ...] = later(())

    @property
    def digest(self) -> str:
        """sha256 (hex) of what is desired, whoever asked: the request ids do not count."""
        content = self.model_dump(mode="json", exclude={"request_ids"})
        return hashlib.sha256(composed_json(content)).hexdigest()

    @property
    def restores(self) -> bool:
        """Return whether nothing is erased, so that what is desired is the base itself."""
        return not self.concepts


def in_force(policies: Iterable[Policy]) -> list[Policy]:
    """Those of `policies` that no other of them replaces, sorted by request id.

    What was replaced once stays so, also where the one in its place is replaced itself. PolicyConflict where one
    request id stands over two contents.
    """
    ordered = _unique(policies)
    gone = {request_id for policy in ordered for request_id in policy.replaces}
    return [policy for policy in ordered if policy.request_id not in gone]


def refuse_misplaced(policy: Policy, published: Sequence[Policy], on_record: Collection[str]) -> None:
    """Refuse a policy whose place was taken, or that replaces something which it cannot replace.

    Args:
        policy: the policy that is handed in.
        published: the policies that were published.
        on_record: ids of all requests on record, whatever came of them.

    Raises:
        PolicyConflict: one of the published took the policy's place.
        PolicyError: it replaces what is not on record, or what was replaced already.
    """
    for other in published:
        if policy.request_id in other.replaces:
            problem = f"{policy.request_id} was replaced by {other.request_id}"
            cure, pair = "give a new request an id of its own", [policy.request_id, other.request_id]
            raise PolicyConflict("request_id", problem, cure, pair)
    gone = {request_id: other.request_id for other in published for request_id in other.replaces if other != policy}
    for i, request_id in enumerate(policy.replaces):
        if request_id in gone:
            problem = f"{shown(request_id)} was replaced by {gone[request_id]} already"
            raise PolicyError(f"replaces[{i}]", problem, "name what is in force: see `expunge status`")
        if request_id not in on_record:
            problem = f"no request {shown(request_id)} is on record on this base"
            raise PolicyError(f"replaces[{i}]", problem, "name one that `expunge status` shows")


def desired_state(policies: Sequence[Policy]) -> DesiredState:
    """Return the state that obeys all `policies` that are in force, the same for any order of them.

    Where they erase nothing it is the base itself.

    Raises:
        ValueError: there is no policy.
        PolicyConflict: they replace each other in a ring, two differ in base digest, editor, seed or how pictures
            are drawn, use one id for two names, or disagree on what a concept is or becomes.
    """
    if not policies:
        raise ValueError("there is no policy: give at least one, which says what the base is")
    active = in_force(policies)
    if not active:
        ring = sorted(policy.request_id for policy in policies)
        raise PolicyConflict("replaces", "goes round in a ring", "give a new request an id of its own", ring)
    ordered = [policy for policy in active if policy.concepts]
    _refuse_different_runs(ordered or active)
    if not ordered:
        return _base_itself(active)
    concepts, retain = folded(ordered)
    return DesiredState(
        request_ids=tuple(p.request_id for p in ordered),
        base=_base(ordered),
        concepts=concepts,
        retain=retain,
        acceptance=_strictest([p.acceptance for p in ordered]),
        limits=_together([p.limits for p in ordered]),
        editor=ordered[0].editor,
        seed=ordered[0].seed,
        unspared=_unspared([p.acceptance for p in ordered]),
    )


def _base_itself(withdrawals: Sequence[Policy]) -> DesiredState:
    """Return the state that erases nothing.

    Nothing is asked of it, so all else is as by default.
    """
    return DesiredState(
        request_ids=tuple(policy.request_id for policy in withdrawals),
        base=_base(withdrawals),
        concepts=(),
        retain=(),
        acceptance=Acceptance(),
        limits=Budget(),
        editor=Editor(),
        seed=0,
    )


def _base(policies: Sequence[Policy]) -> Base:
    """Return the base that all of them name by its digest; of several places that hold it, the first by name."""
    return min((policy.base for policy in policies), key=lambda base: base.uri)


def _unique(policies: Iterable[Policy]) -> list[Policy]:
    """One policy a request id, sorted; the same policy twice counts once, two contents under one id are refused."""
    by_id: dict[str, Policy] = {}
    for policy in policies:
        known = by_id.setdefault(policy.request_id, policy)
        if known.digest != policy.digest:
            pair = [policy.request_id, policy.request_id]
            raise PolicyConflict("request_id", "stands over two different policies", "give one a new id", pair)
    return [by_id[key] for key in sorted(by_id)]


def _refuse_different_runs(policies: Sequence[Policy]) -> None:
    first = policies[0]
    for other in policies[1:]:
        parts = (
            ("base.sha256", first.base.sha256, other.base.sha256),
            ("editor", written(first.editor), written(other.editor)),
            ("seed", first.seed, other.seed),
            ("acceptance.steps", first.acceptance.steps, other.acceptance.steps),
            ("acceptance.guidance", first.acceptance.guidance, other.acceptance.guidance),
        )
        for field, ours, theirs in parts:
            if ours != theirs:
                pair = [first.request_id, other.request_id]
                raise PolicyConflict(field, f"differs: {ours} and {theirs}", "make them equal", pair)


def _strictest(wanted: Sequence[Acceptance]) -> Acceptance:
    return Acceptance(
        max_target_rate=min(one.max_target_rate for one in wanted),
        max_attack_rate=_attack_rate(wanted),
        max_retain_drop=min(one.max_retain_drop for one in wanted),
        min_control_rate=max(one.min_control_rate for one in wanted),
        probe_limits=_probe_limits(wanted),
        confidence=max(one.confidence for one in wanted),
        level=max(wanted, key=lambda one: get_args(Level).index(one.level)).level,
        sampling="sequential" if all(one.sampling == "sequential" for one in wanted) else "fixed",
        seeds=max(one.seeds for one in wanted),
        round_seeds=max(one.round_seeds for one in wanted),
        prompts=max(one.prompts for one in wanted),
        steps=wanted[0].steps,
        guidance=wanted[0].guidance,
        max_noise_rate=min(one.max_noise_rate for one in wanted),
    )


def _attack_rate(wanted: Sequence[Acceptance]) -> float:
    """Return the least limit of those whose level makes attacks, or of all where none does."""
    attacked = [one for one in wanted if ATTACKS_AT[one.level]]
    return min(one.max_attack_rate for one in attacked or wanted)


def _probe_limits(wanted: Sequence[Acceptance]) -> dict[str, float]:
    """Return the least limit of each probe that any of them names.

    An attack that not all their levels make has one too, where those that make it allow it more than the least of all.
    """
    made = {attack for one in wanted for attack in ATTACKS_AT[one.level]}
    named = {name for one in wanted for name in one.probe_limits}
    least = {name: min(_limit(one, name) for one in wanted) for name in sorted(named | made)}
    of_attacks = _attack_rate(wanted)
    return {name: limit for name, limit in least.items() if name in named or limit != of_attacks}


def _unspared(wanted: Sequence[Acceptance]) -> tuple[str, ...]:
    """Return the prompt families that some allow more than `max_target_rate` and others do not name.

    For these others it counts if the family is proven to show more than that.
    """
    total, attacks = min(one.max_target_rate for one in wanted), {name for made in ATTACKS_AT.values() for name in made}
    loose = {name for name, limit in _probe_limits(wanted).items() if limit > total and name not in attacks}
    return tuple(sorted(name for name in loose if not all(name in one.probe_limits for one in wanted)))


def _limit(wanted: Acceptance, probe: str) -> float:
    """Return what one policy allows a probe.

    Each attack of its own level has a limit; of prompt families those that it names.
    """
    return wanted.probe_limits.get(probe, wanted.max_attack_rate if probe in ATTACKS_AT[wanted.level] else 1.0)


def _together(limits: Sequence[Budget]) -> Budget:
    """Return the least reach, and the minutes of all.

    Their work is done together, so the limit of one must not bind another's.
    """
    minutes = math.fsum(one.max_compute_minutes for one in limits)
    return Budget(
        max_weight_delta=min(one.max_weight_delta for one in limits),
        max_compute_minutes=min(minutes, MOST_MINUTES),
    )
