"""The floor: what no policy may go below, whoever writes it, by the kind of its request.

A policy that is submitted is refused where it is looser. One that is in force already cannot be changed, so it is
raised: when its line is computed anew, the stricter of policy and floor holds. The floor also says for which kinds
people decide on a publication, and who they are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, create_model

from expunge.policies.errors import PolicyError, PolicyErrors, shown
from expunge.policies.kinds import REQUESTS, Kind
from expunge.policies.model.canonical import composed_json
from expunge.policies.model.policy import Policy
from expunge.policies.model.schema import (
    ATTACKS_AT,
    Acceptance,
    Level,
    Limit,
    Name,
    ProbeName,
    Share,
    Strict,
    later,
)

ATTACKS = frozenset(name for made in ATTACKS_AT.values() for name in made)
LEVELS = get_args(Level)


def _attacks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in ATTACKS:
            cure = f"use names among {', '.join(sorted(ATTACKS))}"
            raise PolicyError("", f"{shown(name)} is no attack", cure)
    return tuple(sorted(set(names)))


class Terms(Strict):
    """The loosest acceptance that a policy may have.

    Limits are the highest, all others the lowest allowed. `max_family_rate` is for a prompt family that a policy gives
    a limit of its own, `max_attack_rate` for every attack that has a limit, of its own or not. `never_waived` are
    attacks that may not be left without one.
    """

    max_target_rate: Limit
    max_family_rate: Limit
    max_attack_rate: Limit
    max_retain_drop: Limit
    min_control_rate: Share
    confidence: Annotated[float, Field(gt=0.5, lt=1, allow_inf_nan=False)]
    level: Level
    seeds: Annotated[int, Field(ge=1, le=10_000)]
    prompts: Annotated[int, Field(ge=1, le=1_000)]
    never_waived: Annotated[tuple[ProbeName, ...], AfterValidator(_attacks)]


def _public_key(text: str) -> str:
    cure = "copy what stands between the two lines of dashes in the public key's PEM file, as one line"
    try:
        if base64.b64encode(base64.b64decode(text, validate=True)).decode() == text != "":
            return text
    except (binascii.Error, ValueError):
        pass
    raise PolicyError("", "is no public key in Base64", cure)


def _each_once(approvers: dict[str, str]) -> dict[str, str]:
    if not approvers:
        raise PolicyError("", "names nobody, so nothing could ever be published", "name who may approve")
    if len(set(approvers.values())) < len(approvers):
        raise PolicyError("", "gives two people the same key", "give each person a key of their own")
    return approvers


PublicKey = Annotated[str, AfterValidator(_public_key)]


class Approval(Strict):
    """Name who may approve a publication, each with a public key, and for how many hours an approval holds."""

    approvers: Annotated[dict[Name, PublicKey], AfterValidator(_each_once)]
    hours: Annotated[int, Field(ge=1, le=720)] = 72


Kinds = create_model(
    "Kinds",
    __base__=Strict,
    __doc__="The terms of single kinds of requests, in place of the default.",
    **dict.fromkeys(REQUESTS, (Terms | None, None)),  # pyright: ignore[reportArgumentType]
)


class Floor(Strict):
    """The floor of an organisation; `approval` has the kinds of requests on whose publication people decide."""

    schema_version: Literal["1"]
    default: Terms
    kinds: Kinds = Kinds()  # pyright: ignore[reportInvalidTypeForm]
    approval: dict[Kind, Approval] = later({})

    def terms(self, kind: Kind) -> Terms:
        return getattr(self.kinds, kind) or self.default

    @property
    def digest(self) -> str:
        """Return the sha256 (hex) of the terms of every kind, however the file writes them.

        A floor that asks for no approval has the digest that it had before there were approvals.
        """
        content = {kind: self.terms(kind).model_dump(mode="json") for kind in REQUESTS}
        content |= self.model_dump(mode="json", include={"approval"})
        return hashlib.sha256(composed_json(content)).hexdigest()


def below(policy: Policy, floor: Floor) -> Iterator[PolicyError]:
    """Find what is looser than the floor, each with its field; nothing of a policy that erases nothing."""
    if policy.concepts:
        least = _written(raised(policy.acceptance, floor.terms(policy.kind)))
        for field, ours in _written(policy.acceptance).items():
            if ours != (theirs := least[field]):
                problem = f"{ours} is looser than the floor, which has {theirs} for requests of the kind {policy.kind}"
                yield PolicyError(field, problem, f"write {theirs} or what is stricter")


def refuse_below(policy: Policy, floor: Floor) -> None:
    """Raise PolicyErrors where the policy is looser than the floor."""
    if errors := list(below(policy, floor)):
        raise PolicyErrors(errors)


def held_to(policy: Policy, floor: Floor) -> Policy:
    """Return the policy with the stricter of its own acceptance and the floor's."""
    if not policy.concepts:
        return policy
    return policy.model_copy(update={"acceptance": raised(policy.acceptance, floor.terms(policy.kind))})


def raised(wanted: Acceptance, terms: Terms) -> Acceptance:
    """Return the stricter of the two, field by field."""
    lower = ("max_target_rate", "max_attack_rate", "max_retain_drop")
    higher = ("min_control_rate", "confidence", "seeds", "prompts")
    return wanted.model_copy(
        update={
            **{name: min(getattr(wanted, name), getattr(terms, name)) for name in lower},
            **{name: max(getattr(wanted, name), getattr(terms, name)) for name in higher},
            "level": max(wanted.level, terms.level, key=LEVELS.index),
            "probe_limits": {name: _highest(name, limit, terms) for name, limit in wanted.probe_limits.items()},
        }
    )


def _highest(probe: str, limit: float, terms: Terms) -> float:
    """Return the highest limit that the floor allows a prompt family or attack.

    A limit just below 1 would waive an attack as well as 1 does, and would not be shown as waived.
    """
    if probe not in ATTACKS:
        return min(limit, terms.max_family_rate)
    if limit == 1 and probe not in terms.never_waived:
        return limit
    return min(limit, terms.max_attack_rate)


def _written(acceptance: Acceptance) -> dict[str, Any]:
    """Return every value by its field as a policy's author writes it."""
    own = {f"acceptance.{name}": value for name, value in acceptance.model_dump(exclude={"probe_limits"}).items()}
    return own | {f"acceptance.probe_limits.{name}": value for name, value in acceptance.probe_limits.items()}
