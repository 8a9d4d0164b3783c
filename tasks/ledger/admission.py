"""Admission: a policy that is received is kept, and a refusal before it is a work order is on record like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge.policies import Floor, Policy, parse
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.floor_store import keep_floor
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.recorder import AtTheDoor, refusals_noted


def received(path: Path, sha256: str) -> tuple[Policy, bytes]:
    """Return the policy and its file's bytes.

    Raises PolicyErrors on what it says, IntegrityError if the file has another digest.
    """
    data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise IntegrityError(f"{path.name} changed since it was submitted (sha256 {found}): submit it again")
    return parse(data, str(path)), data


def keep_received(policy: Policy, data: bytes, home: Path) -> tuple[dict[str, str], Floor]:
    """Keep a policy and the floor; return what a receipt names of them as inputs, and the floor.

    `data` is the policy's file.
    """
    keep_policy(home, policy.digest, data)
    floor = keep_floor(home)
    inputs = {
        "policy": policy.digest,
        "file": hashlib.sha256(data).hexdigest(),
        "base": policy.base.sha256,
        "floor": floor.digest,
    }
    return inputs, floor


@contextmanager
def admitting(policy: Policy, data: bytes, home: Path, ledger: Ledger) -> Iterator[tuple[dict[str, str], Floor]]:
    """Keep a policy and the floor; yield what its receipt names as inputs, and the floor.

    What refuses it inside leaves a receipt.
    """
    inputs, floor = keep_received(policy, data, home)
    with refusals_noted(AtTheDoor(home, ledger.line, policy), inputs, ledger):
        yield inputs, floor
