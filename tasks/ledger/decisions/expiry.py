"""The time of an expiry: nothing is put back for one that has not come, and nothing expired is published.

The clock of one machine can be wrong, or set forward. A fencing token is the time of the database's clock in
milliseconds, or more than that. So it is not before a moment unless both clocks say that it has come, the machine's and
the one by which the token was given. The receipt has both, and an auditor asks the same of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from expunge.policies import Policy, PolicyError
from expunge.policies.merge.expiry import refuse_early, refuse_expired
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.policy_store import kept_policy, published_policies
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.leases import held_here, lease_name

GRACE = timedelta(minutes=10)
"""How long it may take from the last look before the pointer moves until the receipt is written."""


def refuse_untimely(policy: Policy, published: Sequence[Policy], line: str, home: Path) -> None:
    """Raise PolicyError where a policy has expired before it was published, or follows an expiry that has not come."""
    now, lease = datetime.now(UTC), held_here(Database.of(home), lease_name(line))
    refuse_expired(policy, published, now)
    refuse_early(policy, published, _sure(now, lease and lease.token))


def untimely(home: Path, published: Receipt, before: Sequence[Receipt]) -> str:
    """Say how a publication does not fit the ends of policies, by the two clocks of its receipt; "" if it does."""
    at = datetime.fromisoformat(published.at)
    try:
        policy, others = kept_policy(home, published.inputs.get("policy", "")), published_policies(home, before)
        refuse_expired(policy, others, at - GRACE)
        refuse_early(policy, others, _sure(at, published.fencing_token))
    except PolicyError as error:
        return f"it should not have been published then: {error}"
    except (IntegrityError, KeyError):
        return ""  # a policy is lost, which is told for itself
    return ""


def _sure(at: datetime, token: int | None) -> datetime:
    """Return the earlier of the two clocks; without a token there is but one."""
    return at if token is None or token / 1000 > at.timestamp() else datetime.fromtimestamp(token / 1000, UTC)
