"""What the receipts of a line come to as rows of the database: the line, its requests, and its next check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.line.status import Standing
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.queries import states_of
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.state.heads import Rows


def rows_of(home: Path, chain: Sequence[Receipt], envelope: bytes) -> Rows:
    """Return the rows of a line with these receipts, of which there is at least one; the last lies in `envelope`.

    They depend on receipts and policies alone, and not on when they are asked for.
    """
    last = chain[-1]
    base = next((receipt.inputs["base"] for receipt in chain if "base" in receipt.inputs), None)
    line = {"id": last.line, "base": base, "head": last.digest, "sequence": last.sequence, "envelope": envelope}
    requests = [_request(home, row) for row in states_of(home, {last.line: chain})]
    return Rows(line, requests, list(_checks(last.line, Standing.by(home, chain))))


def _request(home: Path, row: dict[str, Any]) -> dict[str, Any]:
    try:
        received = kept_policy(home, row["policy"]).received_at
    except IntegrityError:
        received = None
    same = {name: row[name] for name in ("line", "work", "policy", "state", "receipt")}
    due = datetime.fromisoformat(row["due"]) if row["due"] else None
    return {**same, "id": row["request_id"], "at": datetime.fromisoformat(row["at"]), "received": received, "due": due}


def _checks(line: str, standing: Standing | None) -> Iterator[dict[str, Any]]:
    """Yield the check that follows the last publication, if there is one."""
    if standing is None:
        return
    proof = standing.proof
    proven, checked = _at(proof.given), _at(proof.check) if proof.check else None
    days = None if standing.days is None else timedelta(standing.days)
    yield {
        "line": line,
        "bundle": proof.bundle,
        "proven": proven,
        "checked": checked,
        "proof_due": None if days is None else proven + days,
        "check_due": None if days is None else (checked or proven) + days,
        "suspect": bool(standing.doubts),
    }


def _at(receipt: Receipt) -> datetime:
    return datetime.fromisoformat(receipt.at)
