"""The kinds of a request: what its policy says, what its notice says, and what came before it under the same ids.

The kind in a policy is the word of whoever submits it. So a request counts as of all these kinds, and the strictest
rule among them holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from expunge.policies import Policy
from expunge.policies.kinds import REQUESTS, Kind
from expunge.tasks.ledger.decisions.counters import requests_in
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Receipt


def related_policies(home: Path, chain: Sequence[Receipt], policy: Policy) -> dict[str, list[Policy]]:
    """Return by request id this policy, all that had its id before, and those whose place any of them took.

    Replacing twice is replacing what the first one replaced. IntegrityError if one is not as it was received.
    """
    digests = defaultdict[str, dict[str, None]](dict)
    for receipt in chain:
        if "policy" in receipt.inputs:
            digests[receipt.request_id][receipt.inputs["policy"]] = None
    found, waiting = {policy.request_id: [policy]}, [policy.request_id, *policy.replaces]
    seen = set[str]()
    while waiting:
        if (request_id := waiting.pop()) in seen:
            continue
        seen.add(request_id)
        earlier = [kept_policy(home, digest) for digest in digests[request_id]]
        found[request_id] = [*found.get(request_id, []), *earlier]
        waiting += [name for one in earlier for name in one.replaces]
    return found


def kinds_of(home: Path, chain: Sequence[Receipt], policy: Policy, notices: Sequence[Receipt]) -> set[Kind]:
    """Return the kinds of the related policies, and of the notices that came in under their ids."""
    related = related_policies(home, chain, policy)
    kinds = {one.kind for policies in related.values() for one in policies}
    said = {receipt.settings["kind"] for receipt in requests_in(notices) if receipt.request_id in related}
    return kinds | {kind for kind in REQUESTS if kind in said}
