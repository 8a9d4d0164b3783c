"""What a policy asks for, as `expunge validate` and the desk show it."""

from __future__ import annotations

from typing import Any

from expunge.policies import Policy, parse
from expunge.policies.model.deadlines import TERMS, due_at
from expunge.tasks.ledger.floor_store import floor_in_force


def validate(data: bytes, source: str) -> dict[str, Any]:
    """Return what the policy in these bytes asks for; PolicyErrors if it is none, or below the floor in force."""
    return summary(parse(data, source, floor_in_force()))


def summary(policy: Policy) -> dict[str, Any]:
    """Return what a policy asks for."""
    due = due_at(policy)
    return {
        "request_id": policy.request_id,
        "kind": policy.kind,
        "received_at": policy.received_at.isoformat(),
        "due": due and due.isoformat(),
        "expires": policy.expires_at and policy.expires_at.isoformat(),
        "term": TERMS.get(policy.kind),
        "base": policy.base.uri,
        "digest": policy.digest,
        "replaces": list(policy.replaces),
        "erase": [{"id": c.id, "name": c.name, "category": c.category, "anchor": c.anchor} for c in policy.concepts],
        "keep": [{"id": c.id, "name": c.name, "category": c.category, "kind": c.kind} for c in policy.retain],
    }
