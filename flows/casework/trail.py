"""The trail of one request, in words: its receipts, its state, and the files that may be handed out."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from expunge.flows.casework.notices import refuse_no_home
from expunge.policies.notices.redaction import hides_names
from expunge.tasks.core.errors import NothingOnRecord
from expunge.tasks.core.paths import BUNDLE, QUALITY, REPORT, VERDICT, receipts_folder, work_folder
from expunge.tasks.ledger import queries
from expunge.tasks.ledger.notices import LINE as NOTICES
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Receipt

STEPS = {
    "received": "Notice received",
    "read": "Policy taken up",
    "planned": "Edit computed",
    "erased": "Edit applied to a copy of the model",
    "attempted": "Verification begun",
    "verified": "Verification judged",
    "gated": "Evidence checked",
    "returned": "What a withdrawal gives back is back",
    "bundled": "Bundle made",
    "awaiting-approval": "People asked for a decision",
    "approved": "Approved",
    "published": "Published",
    "refused": "Refused",
    "repeated": "Found to be done by an earlier request",
    "reverified": "Proven again",
}

OUTCOMES = {"open": "nothing wrong", "shut": "stopped", "awaiting_approval": "waits for an answer"}


def trail(home: Path, request_id: str) -> list[dict[str, Any]]:
    """Return the receipts of a request in words, the earliest first."""
    refuse_no_home(home)
    return [_row(one) for one in _receipts(home, request_id)]


def state_of(home: Path, request_id: str) -> dict[str, Any] | None:
    """Return the last state of a request, with its report; None if no policy of this id was ever taken up."""
    refuse_no_home(home)
    chains, _ = queries.read(home)
    found = [row for row in queries.states_in(home, chains) if row["request_id"] == request_id]
    if not found:
        return None
    report = work_folder(home, found[-1]["work"]) / REPORT
    return {**found[-1], "report_file": report if report.is_file() else None}


def files_of(home: Path, request_id: str) -> bytes:
    """Return a zip of the receipts of a request, its report, verdict, and the manifest of its bundle.

    Where a person wants to be kept out of pictures, or nobody can tell, the report stays here: it shows pictures.
    """
    receipts, state = _receipts(home, request_id), state_of(home, request_id)
    if not receipts:
        raise NothingOnRecord(f"no request {request_id!r} is on record")
    content, named = io.BytesIO(), {}
    for one in receipts:
        named[f"receipts/{one.line}-{one.file_name}"] = receipts_folder(home) / one.line / one.file_name
    if state:
        work = work_folder(home, state["work"])
        named |= {"verdict.json": work / VERDICT, "quality.json": work / QUALITY}
        named["manifest.json"] = work / BUNDLE / "manifest.json"
        named |= {} if is_private(home, receipts) else {"report.html": work / REPORT}
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in named.items():
            if path.is_file():
                archive.write(path, name)
    return content.getvalue()


def is_private(home: Path, receipts: list[Receipt]) -> bool:
    """Return whether any policy on the lines of these receipts keeps a person out of pictures, or is lost."""
    chains, _ = queries.read(home)
    lines = {one.line for one in receipts} - {NOTICES}
    policies = {one.inputs["policy"] for line in lines for one in chains.get(line, []) if "policy" in one.inputs}
    try:
        return any(hides_names(kept_policy(home, policy)) for policy in policies)
    except Exception:
        return True


def _receipts(home: Path, request_id: str) -> list[Receipt]:
    found = [one for one in queries.receipts(home) if one.request_id == request_id]
    return sorted(found, key=lambda one: (one.at, one.line != NOTICES, one.sequence))


def _row(receipt: Receipt) -> dict[str, Any]:
    said = receipt.verdict or {}
    return {
        "step": receipt.step,
        "words": STEPS.get(receipt.step, receipt.step),
        "at": receipt.at,
        "who": receipt.who,
        "outcome": OUTCOMES.get(receipt.outcome or "", receipt.outcome),
        "by": said.get("by"),
        "reasons": said.get("reasons") or [],
        "line": receipt.line,
        "receipt": receipt.digest,
        "work": receipt.work,
    }
