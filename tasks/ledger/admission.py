"""Admission: a policy that is received is kept, and a refusal before it is a work order is on record like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge.policies import Policy, parse
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.floor_store import keep_floor
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.recorder import AtTheDoor, refusals_noted


def received(path: Path, sha256: str) -> tuple[Policy, bytes]:
    """Return the policy and its file's bytes. PolicyErrors on what it says, IntegrityError if the file has another
    digest."""
    data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise IntegrityError(f"{path.name} changed since it was submitted (sha256 {found}): submit it again")
    return parse(data, str(path)), data


def keep_received(policy: Policy, data: bytes, home: Path) -> dict[str, str]:
    """Keep a policy and the floor, and return what a receipt names of them as inputs. `data` is the policy's file."""
    keep_policy(home, policy.digest, data)
    return {
        "policy": policy.digest,
        "file": hashlib.sha256(data).hexdigest(),
        "base": policy.base.sha256,
        "floor": keep_floor(home).digest,
    }


@contextmanager
def admitting(policy: Policy, data: bytes, home: Path) -> Iterator[dict[str, str]]:
    """Keep a policy and the floor; yield what its receipt names as inputs. What refuses it inside leaves a receipt."""
    inputs = keep_received(policy, data, home)
    with refusals_noted(AtTheDoor(home, line_of(policy, home), policy), inputs):
        yield inputs
