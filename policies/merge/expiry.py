"""The end of a policy: from `expires_at` on it holds no more, and one withdrawal follows, the same on every machine.

An expired policy is not left out of what is in force by the clock, for a state must be the same whenever it is worked
out. It is withdrawn as any other is, by a policy that takes its place and erases nothing. Who writes that one cannot
choose a word of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil

from expunge.policies.errors import PolicyError
from expunge.policies.merge.desired_state import in_force
from expunge.policies.model.lasting import permanent
from expunge.policies.model.policy import Policy
from expunge.policies.model.schema import Kind

OWN_ID = re.compile(r"expired-[0-9a-f]{12}")


def withdrawal_on_expiry(policy: Policy) -> Policy:
    """Return the policy that withdraws this one once it has expired."""
    return Policy(
        schema_version="1",
        request_id=f"expired-{policy.digest[:12]}",
        replaces=(policy.request_id,),
        kind=policy.kind,
        received_at=policy.received_at,
        on_expiry=True,
        base=policy.base,
        concepts=(),
    )


def has_expired(policy: Policy, at: datetime) -> bool:
    """Return whether a policy holds no more at this moment."""
    return policy.expires_at is not None and policy.expires_at <= at


def end_in_words(policy: Policy, at: datetime) -> str:
    """Return in how many days a policy expires, or that it did; "" where it names no end."""
    if policy.expires_at is None or has_expired(policy, at):
        return "expired" if policy.expires_at else ""
    days = ceil((policy.expires_at - at) / timedelta(days=1))
    return f"expires in {days} day{'' if days == 1 else 's'}"


def refuse_expired(policy: Policy, published: Sequence[Policy], at: datetime) -> None:
    """Raise PolicyError where a policy has expired before it was ever published."""
    if has_expired(policy, at) and policy.digest not in {one.digest for one in published}:
        cure = "there is nothing to erase any more; a new request needs a later end, or none"
        raise PolicyError("expires_at", f"{_end(policy)} has passed", cure)


def refuse_shorter(policy: Policy, published: Sequence[Policy], kinds: set[Kind]) -> None:
    """Raise PolicyError where an amendment ends what others asked for sooner than they did.

    `kinds` are those of the policy, of its notices, and of all whose place it takes. An amendment of the same kind may
    be shorter: a court can shorten its own order.
    """
    if policy.expires_at is None:
        return
    for error in (found for kind in sorted(kinds) for found in permanent(kind)):
        raise error
    for other in published:
        longer = other.expires_at is None or other.expires_at > policy.expires_at
        if other.request_id in policy.replaces and longer and other.concepts and len(kinds) > 1:
            several = ", ".join(sorted(kinds))
            problem = f"ends what {other.request_id} asks for sooner, and is of another kind ({several})"
            raise PolicyError("expires_at", problem, "leave it out, or give a policy of the same kind")


def refuse_early(policy: Policy, published: Sequence[Policy], at: datetime) -> None:
    """Raise PolicyError where a withdrawal names an expiry as its reason that has not come, or is of nothing.

    An id that is kept for such a withdrawal is refused in any other policy.
    """
    if not policy.on_expiry:
        if OWN_ID.fullmatch(policy.request_id):
            raise PolicyError("request_id", "is kept for what follows an expiry", "give the request another id")
        return
    ending = {withdrawal_on_expiry(one).digest: one for one in published if one.expires_at}
    expired = ending.get(policy.digest)
    if expired is None:
        cure = "leave it out; the nightly check writes what withdraws an expired policy"
        raise PolicyError("on_expiry", "this is not what follows the end of a published policy", cure)
    if not has_expired(expired, at):
        problem = f"{expired.request_id} holds until {_end(expired)}, and it is {at.isoformat(timespec='seconds')}"
        raise PolicyError("on_expiry", problem, "wait until then; the nightly check withdraws it")


def expired_in_force(published: Sequence[Policy], at: datetime) -> list[Policy]:
    """Return the published policies that hold no more and that nothing took the place of yet."""
    return [policy for policy in in_force(published) if has_expired(policy, at)]


def _end(policy: Policy) -> str:
    return policy.expires_at.isoformat() if policy.expires_at else ""
