"""What the receipts say of each request: the only source for its state, whether or not any server is up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from policies.clocks import due_at
from tasks.errors import IntegrityError
from tasks.journal import journal
from tasks.kept import kept_policy
from tasks.order import Order
from tasks.proof import CHECKED, Proof
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
    for line in lines(home):
        yield from journal(home, line).receipts()


def lines(home: Path) -> list[str]:
    """All lines on record, by name."""
    folder = home / "receipts"
    return sorted(path.name for path in folder.iterdir() if is_line(path)) if folder.exists() else []


def is_line(path: Path) -> bool:
    """Whether a folder of a home's receipts can be that of a line; others are somebody's copies."""
    return path.is_dir() and LINE.fullmatch(path.name) is not None


def served(home: Path) -> dict[str, Proof]:
    """The proof of every line on which something is published."""
    proofs = {line: Proof.of(journal(home, line).receipts()) for line in lines(home)}
    return {line: proof for line, proof in proofs.items() if proof is not None}


def lines_due(home: Path, now: datetime | None = None, lead: timedelta = timedelta()) -> list[str]:
    """The lines whose proof is older than a policy in force on them allows, or will be in `lead` from now; those too of
    which it cannot be told."""
    until = (now or datetime.now(UTC)) + lead
    dues = {line: proof.due(home) for line, proof in served(home).items()}
    return [line for line, due in dues.items() if due is None or due <= until]


def standing(line: str, home: Path) -> dict[str, Any]:
    """What a line serves, whether it is suspect and why, and until when it has to be proven again."""
    proof = served(home)[line]
    due, check = proof.due(home), proof.check
    report = home / "work" / str((check or proof.publication).settings["work"]) / "report.html"
    return {
        "line": line,
        "bundle": proof.bundle,
        "checked": check and check.at,
        "report": str(report) if report.exists() else None,
        "suspect": proof.doubts,
        "proof_due": due and due.isoformat(),
    }


def states(home: Path, policy: str | None = None, now: datetime | None = None) -> list[dict[str, Any]]:
    """The state of every work order and of every policy that was turned away before it was one, the latest last; with
    `policy`, a policy's digest, only its own. Work that came to nothing is left out where the same policy was taken up
    again since.

    `reasons` say why a request was refused, or what its last verdict rests on. `due` is the moment by which the law
    wants it published, and `late` whether it was not by then, or is not `now`; None where no law names one, or where
    the policy is not kept as it was received (`policy_kept`), so that it cannot be told. What is published is proven
    again until `proof_due`, and is `suspect`, with the reasons, if the last check did not prove it; or it is `replaced`
    by the request that the reasons name.
    """
    now = now or datetime.now(UTC)
    proofs = served(home)
    orders: dict[str, dict[str, Any]] = {}
    for receipt in receipts(home):
        if receipt.step == CHECKED:
            continue
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
        row | _clock(home, row, now) | _standing(home, row, proofs.get(row["line"]), now)
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


def _standing(home: Path, row: dict[str, Any], proof: Proof | None, now: datetime) -> dict[str, Any]:
    """What the checks since say of a request that is published."""
    nothing = {"checked": None, "proof_due": None, "proof_late": None}
    if row["state"] != "published" or proof is None:
        return nothing
    if by := proof.replaced(home).get(row["request_id"]):
        return nothing | {"state": "replaced", "reasons": [f"by {by}"]}
    due, at = proof.due(home), proof.check and proof.check.at
    told = {"checked": at, "proof_due": due and due.isoformat(), "proof_late": due and due < now}
    return told | ({"state": "suspect", "reasons": proof.doubts} if proof.doubts else {})


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
