"""Kinds of requests whose erasure has no end. This is no legal advice.

A court may order something for a stated time, a licence may come back, and whoever removes something on his own may say
for how long. What these laws protect does not lapse: it comes back only if the person withdraws the request.
"""

from __future__ import annotations

from collections.abc import Iterator

from expunge.policies.errors import PolicyError
from expunge.policies.kinds import KINDS, Kind

PERMANENT = {kind.name: kind.lasts_by for kind in KINDS.values() if kind.lasts_by}
"""By kind the law by which it has no end."""


def permanent(kind: Kind) -> Iterator[PolicyError]:
    """Yield what is wrong with an end of a request of this kind."""
    if law := PERMANENT.get(kind):
        cure = "leave it out; if the person takes the request back, withdraw it by a policy that `replaces` it"
        problem = f"has no place in a request of the kind {kind}, which knows no end ({law})"
        yield PolicyError("expires_at", problem, cure)
