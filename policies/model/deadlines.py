"""Deadlines: by when a request has to be carried out, where a law says so. This is no legal advice.

Each kind states its term. Most have none: "expeditiously" (17 U.S.C. 512(c)), or what a court's order says itself.
"""

from __future__ import annotations

from datetime import datetime

from expunge.policies.kinds import KINDS
from expunge.policies.model.policy import Policy

TERMS = {kind.name: kind.term.words for kind in KINDS.values() if kind.term}
"""By kind the term of the law, in words."""


def due_at(policy: Policy) -> datetime | None:
    """Return the moment, in the zone in which the request came in, or None where the law names none."""
    return due_after(policy.kind, policy.received_at)


def due_after(kind: str, received_at: datetime) -> datetime | None:
    """Return by when a request of this kind, received then, has to be carried out; None where no law names a time."""
    term = KINDS[kind].term
    return term and term.due_after(received_at)
