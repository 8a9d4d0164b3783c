"""The rows of the database that follow from a line's receipts: the line, its requests and its next check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from expunge.policies import Policy
from expunge.tasks.ledger.line.requests import states_of
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.state.heads import Rows


def rows_of(chain: Sequence[Receipt], envelope: bytes, policies: Mapping[str, Policy], lost: Mapping[str, str]) -> Rows:
    """Return the rows of a line with these receipts, of which there is at least one; the last lies in `envelope`.

    `policies` are by digest those that the receipts name, and `lost` says in words which are missing.

    They depend on receipts and policies alone, and not on when they are asked for.
    """
    last = chain[-1]
    base = next((receipt.inputs["base"] for receipt in chain if "base" in receipt.inputs), None)
    line = {"id": last.line, "base": base, "head": last.digest, "sequence": last.sequence, "envelope": envelope}
    requests = [_request(policies.get(row["policy"]), row) for row in states_of({last.line: chain}, policies, lost)]
    return Rows(line, requests, list(_checks(last.line, LineStatus.among(chain, policies, lost))))


def _request(policy: Policy | None, row: dict[str, Any]) -> dict[str, Any]:
    received = policy.received_at if policy else None
    same = {name: row[name] for name in ("line", "work", "policy", "state", "receipt")}
    due = datetime.fromisoformat(row["due"]) if row["due"] else None
    return {**same, "id": row["request_id"], "at": datetime.fromisoformat(row["at"]), "received": received, "due": due}


def _checks(line: str, status: LineStatus | None) -> Iterator[dict[str, Any]]:
    """Yield the check that follows the last publication, if there is one."""
    if status is None:
        return
    proof = status.proof
    proven, checked = _at(proof.proven_by), _at(proof.check) if proof.check else None
    days = None if status.days is None else timedelta(status.days)
    yield {
        "line": line,
        "bundle": proof.bundle,
        "proven": proven,
        "checked": checked,
        "proof_due": None if days is None else proven + days,
        "check_due": None if days is None else (checked or proven) + days,
        "suspect": bool(status.doubts),
    }


def _at(receipt: Receipt) -> datetime:
    return datetime.fromisoformat(receipt.at)
