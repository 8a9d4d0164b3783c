"""What the receipts say of each request: the only source for its state, whether or not any server is up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from policies.clocks import due_at
from tasks.errors import IntegrityError
from tasks.journal import journal
from tasks.kept import kept_policy
from tasks.order import Order
from tasks.receipts import LINE, Receipt

STATES = {
    "read": "accepted",
    "planned": "planned",
    "erased": "erased",
    "verified": "verified",
    "gated": "gated",
    "bundled": "validated",
    "published": "published",
    "refused": "rejected",
}


def receipts(home: Path) -> Iterator[Receipt]:
    """All receipts of all lines, each line in order."""
    folder = home / "receipts"
    for line in sorted(path.name for path in folder.iterdir() if is_line(path)) if folder.exists() else []:
        yield from journal(home, line).receipts()


def is_line(path: Path) -> bool:
    """Whether a folder of a home's receipts can be that of a line; others are somebody's copies."""
    return path.is_dir() and LINE.fullmatch(path.name) is not None


def states(home: Path, policy: str | None = None, now: datetime | None = None) -> list[dict[str, Any]]:
    """The state of every work order and of every policy that was turned away before it was one, the latest last; with
    `policy`, a policy's digest, only its own. Work that came to nothing is left out where the same policy was taken up
    again since.

    `reasons` say why a request was refused, or what its last verdict rests on. `due` is the moment by which the law
    wants it published, and `late` whether it was not by then, or is not `now`; None where no law names one, or where
    the policy is not kept as it was received (`policy_kept`), so that it cannot be told.
    """
    orders: dict[str, dict[str, Any]] = {}
    for receipt in receipts(home):
        key = str(receipt.settings["work"])
        new = {"request_id": receipt.request_id, "line": receipt.line, "policy": "", "verdict": None, "reasons": []}
        row = orders[key] = orders.pop(key, new)
        row["policy"] = receipt.inputs.get("policy", row["policy"])
        row |= {"state": STATES[receipt.step], "at": receipt.at, "receipt": receipt.digest, "work": key}
        if receipt.step == "verified" and receipt.verdict:
            row["verdict"] = receipt.verdict["outcome"]
        if receipt.verdict is None or "reasons" in receipt.verdict:  # a refusal that was overcome is no reason any more
            row["reasons"] = (receipt.verdict or {}).get("reasons", [])
        if receipt.step == "gated" and receipt.verdict and receipt.verdict["outcome"] != "open":
            row |= {"state": "rejected", "reasons": row["reasons"] or receipt.verdict["failed"]}
    last = {row["policy"]: row["work"] for row in orders.values()}
    return [
        row | _clock(home, row, now or datetime.now(UTC))
        for row in orders.values()
        if policy in (None, row["policy"]) and (row["state"] == "published" or last[row["policy"]] == row["work"])
    ]


def _clock(home: Path, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A status is for all requests, so one whose policy was lost is told among them and does not end it."""
    try:
        due = due_at(kept_policy(home, row["policy"]))
    except IntegrityError:
        return {"due": None, "late": None, "policy_kept": False}
    done = datetime.fromisoformat(row["at"]) if row["state"] == "published" else now
    return {"due": due and due.isoformat(), "late": due and done > due, "policy_kept": True}


def last_order(home: Path, policy: str) -> Order | None:
    """The work order that a policy came to last; one that was turned away at the door came to none."""
    found = [row["work"] for row in states(home, policy) if row["work"] != policy]
    return Order.load(home, found[-1]) if found else None


def publications(home: Path, line: str) -> list[Receipt]:
    """The receipts of all that was published on a line, the latest last."""
    return [receipt for receipt in journal(home, line).receipts() if receipt.step == "published"]


def publication(home: Path, policy: str) -> Receipt | None:
    """The receipt by which a policy's erasure was published last, if it was."""
    found = [r for r in receipts(home) if r.step == "published" and r.inputs["policy"] == policy]
    return found[-1] if found else None
