"""The trail of one request, in words: its receipts, its state, and the files that may be handed out."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from expunge.flows.casework.notices import refuse_no_home
from expunge.policies.notices.redaction import hides_names
from expunge.tasks.core.errors import NothingOnRecord, UsageError
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

OUTCOMES = {
    "open": "nothing wrong",
    "shut": "stopped",
    "awaiting_approval": "waits for an answer",
    "defective": "incomplete",
}
SAID = ("received", "approved", "refused", "repeated")
"""Outcomes that the words of their step say already."""


def trail(home: Path, request_id: str, line: str = "") -> list[dict[str, Any]]:
    """Return the receipts of a request in words, the earliest first; with a line, those of it and of the notices."""
    refuse_no_home(home)
    return [_row(one) for one in _receipts(home, request_id, line)]


def states_by_line(home: Path, request_id: str) -> dict[str, dict[str, Any]]:
    """Return the last state of a request on each model line that has it, with its report."""
    refuse_no_home(home)
    chains, _ = queries.read(home)
    found = [row for row in queries.states_in(home, chains) if row["request_id"] == request_id]
    return {row["line"]: {**row, "report_file": report_of(home, row["work"])} for row in found}


def state_of(home: Path, request_id: str, line: str = "") -> dict[str, Any] | None:
    """Return the last state of a request; None if no policy of this id was ever taken up on the line.

    UsageError where several lines have it, and none is named: nobody decides on one by what is shown of another.
    """
    found = states_by_line(home, request_id)
    if not line and len(found) > 1:
        raise UsageError(f"{request_id} is on {' and on '.join(sorted(found))}: choose one of these models")
    return found.get(line) if line else next(iter(found.values()), None)


def report_of(home: Path, work: str) -> Path | None:
    """Return the report of a work, if there is one."""
    report = work_folder(home, work) / REPORT
    return report if report.is_file() else None


def report_for(home: Path, request_id: str, work: str) -> Path | None:
    """Return the report of this work, if the work is one of the request; of the last one where none is named."""
    refuse_no_home(home)
    if not work:
        state = state_of(home, request_id)
        return state and state["report_file"]
    return report_of(home, work) if work in {one.work for one in _receipts(home, request_id)} else None


def files_of(home: Path, request_id: str, line: str = "") -> bytes:
    """Return a zip of the receipts of a request, its report, verdict, and the manifest of its bundle.

    Where a person wants to be kept out of pictures, or nobody can tell, the report stays here: it shows pictures.
    """
    receipts, state = _receipts(home, request_id, line), state_of(home, request_id, line)
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


def _receipts(home: Path, request_id: str, line: str = "") -> list[Receipt]:
    found = [one for one in queries.receipts(home) if one.request_id == request_id]
    found = [one for one in found if not line or one.line in (line, NOTICES)]
    return sorted(found, key=lambda one: (one.at, one.line != NOTICES, one.sequence))


def _row(receipt: Receipt) -> dict[str, Any]:
    said = receipt.verdict or {}
    return {
        "step": receipt.step,
        "words": STEPS.get(receipt.step, receipt.step),
        "at": receipt.at,
        "who": receipt.who,
        "outcome": None if receipt.outcome in SAID else OUTCOMES.get(receipt.outcome or "", receipt.outcome),
        "by": said.get("by"),
        "reasons": said.get("reasons") or [],
        "line": receipt.line,
        "receipt": receipt.digest,
        "work": receipt.work,
    }
