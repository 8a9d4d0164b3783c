"""Policies as they were received, each under the digest of what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from expunge.engine.files.atomic import write_whole
from expunge.policies import (
    DesiredState,
    Floor,
    Policy,
    PolicyError,
    PolicyErrors,
    desired_state,
    held_to,
    in_force,
    parse,
    refuse_misplaced,
)
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.receipt import Receipt, Step, of_step


def keep_policy(home: Path, digest: str, data: bytes) -> None:
    """Keep the bytes that say it, also in the place of a copy that does so no more."""
    if _kept(home, digest) is None:
        write_whole(_path(home, digest), data)


def kept_policy(home: Path, digest: str) -> Policy:
    """Return the policy of this digest; IntegrityError if it is not there, or says something else by now."""
    policy = _kept(home, digest)
    if policy is None:
        path = _path(home, digest)
        raise IntegrityError(f"{path} is not the published policy that was received: restore it from a backup")
    return policy


def kept_policies(home: Path, digests: Iterable[str]) -> tuple[dict[str, Policy], dict[str, str]]:
    """Return the policies of these digests; and by digest, in words, those that are missing."""
    kept, lost = {}, {}
    for digest in digests:
        try:
            kept[digest] = kept_policy(home, digest)
        except IntegrityError as error:
            lost[digest] = str(error)
    return kept, lost


def named_policies(chain: Iterable[Receipt]) -> set[str]:
    """Return the digests of all policies that these receipts name."""
    return {receipt.inputs["policy"] for receipt in chain if "policy" in receipt.inputs}


def published_policies(home: Path, chain: Sequence[Receipt]) -> Sequence[Policy]:
    """Return the policies that a line with these receipts has published.

    Raises IntegrityError if one is not as it was received.
    """
    digests = {receipt.inputs["policy"] for receipt in of_step(chain, Step.PUBLISHED)}
    return [kept_policy(home, digest) for digest in sorted(digests)]


def state_with(policy: Policy, published: Sequence[Policy], chain: Sequence[Receipt], floor: Floor) -> DesiredState:
    """Return the state of a policy together with all that a line has published, none of it below the floor.

    Raises:
        PolicyError, PolicyConflict: the policy has no place among them.
        IntegrityError: one of them is not as it was received.
    """
    refuse_misplaced(policy, published, {receipt.request_id for receipt in chain})
    state = desired_state([held_to(one, floor) for one in (*published, policy)])
    if state.restores and not any(other.concepts for other in published):
        cure = (
            "there is nothing to withdraw; what was cut short (`expunge status`: validated) has to be submitted first"
        )
        raise PolicyError("replaces", "names nothing that was published on this base", cure)
    return state


def same_in_force(policy: Policy, home: Path, chain: Sequence[Receipt]) -> Receipt | None:
    """Return the last publication of what another request asked for first, if that is the same and is in force.

    None where a published policy has the id of `policy`, or replaces it: then it is no mere repetition. IntegrityError
    if a published policy is not as it was received.
    """
    published = published_policies(home, chain)
    if policy.request_id in {name for one in published for name in (one.request_id, *one.replaces)}:
        return None
    same = {one.digest for one in in_force(published) if one.asks_the_same(policy)}
    found = [receipt for receipt in of_step(chain, Step.PUBLISHED) if receipt.inputs["policy"] in same]
    return [one for one in found if one.inputs["policy"] == found[0].inputs["policy"]][-1] if found else None


def _kept(home: Path, digest: str) -> Policy | None:
    try:
        return _said(_path(home, digest).read_bytes(), digest)
    except (OSError, PolicyErrors):
        return None


@lru_cache(maxsize=4096)  # an audit asks for all of a line's policies at every order and check of it
def _said(data: bytes, digest: str) -> Policy | None:
    """Return the policy that these bytes say, if it is that one."""
    policy = parse(data, f"policy {digest[:12]}")
    return policy if policy.digest == digest else None


def _path(home: Path, digest: str) -> Path:
    return home / "policies" / f"{digest}.yaml"
