"""What a policy withdraws: the concepts of those whose place it takes that nobody erases any more."""

from __future__ import annotations

from collections.abc import Iterable

from expunge.policies.merge.desired_state import DesiredState
from expunge.policies.model.policy import Policy


def withdrawn(policy: Policy, published: Iterable[Policy], state: DesiredState) -> dict[str, tuple[Policy, set[str]]]:
    """Return, by request id, the policies that this one withdraws concepts of, with the ids of these concepts.

    A concept that the state still erases, under whatever name, is not withdrawn.
    """
    erased = {key for concept in state.concepts for key in concept.counting_keys}
    found = {}
    for gone in published:
        back = {concept.id for concept in gone.concepts if concept.counting_keys.isdisjoint(erased)}
        if gone.request_id in policy.replaces and back:
            found[gone.request_id] = gone, back
    return found
