"""Intake: a notice is put on record with its draft of a policy, and what is due is listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from expunge.policies.kinds import Kind
from expunge.policies.notices import Notice, draft_policy
from expunge.tasks.core.errors import EXIT_CODE_OF, LedgerError, NothingOnRecord
from expunge.tasks.ledger import queries
from expunge.tasks.ledger.decisions.counters import COUNTERS, open_counters, rescissions
from expunge.tasks.ledger.line.requests import WAS_PUBLISHED
from expunge.tasks.ledger.notices import LINE as NOTICES
from expunge.tasks.ledger.notices import (
    kept_notice,
    receive,
    received_at,
    received_notices,
    what_is_missing,
    write_draft,
)
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.storage.record.appending import append_for_all

MOST_BYTES = 10_000_001
DAY = 86_400
SOON = timedelta(days=30)


def take_in(file: Path, kind: Kind | None, at: datetime | None, out: Path | None, home: Path) -> dict[str, Any]:
    """Record the notice in a file and write the draft of a policy; return what a person has to know of it."""
    with file.open("rb") as handle:
        data = handle.read(MOST_BYTES)
    return record_notice(data, str(file), kind, at, out, home)


def record_notice(
    data: bytes, source: str, kind: Kind | None, at: datetime | None, out: Path | None, home: Path
) -> dict[str, Any]:
    """Do as `take_in` with the bytes of a notice; `source` names them in errors."""
    receipt, notice = append_for_all(home, lambda: receive(home, data, source, kind, at))
    draft = out or draft_file(home, receipt.request_id)
    write_draft(draft, draft_policy(notice, receipt.request_id, received_at(receipt)), chosen=out is not None)
    return {
        "request_id": receipt.request_id,
        "state": receipt.outcome,
        "kind": notice.kind,
        "received_at": receipt.settings["received_at"],
        "due": receipt.settings["due_at"],
        "receipt": receipt.digest,
        "draft": str(draft),
        "missing": _missing(notice),
        "unclear": list(notice.unclear),
    }


def draft_file(home: Path, request_id: str) -> Path:
    """Return where the draft of a notice's policy lies in the home."""
    return home / "drafts" / f"{request_id}.yaml"


def describe_notice(home: Path, request_id: str) -> dict[str, Any] | None:
    """Return what is on record of a notice, with the sentences to send back; None if there is no such notice."""
    found = [one for one in received_notices(home) if one.request_id == request_id]
    if not found:
        return None
    notice = kept_notice(home, found[-1].inputs["notice"])
    return {
        **_row(found[-1]),
        "kind_stated": notice.kind_stated,
        "found": dict(notice.found),
        "missing": _missing(notice),
        "unclear": list(notice.unclear),
        "contacts": len(notice.contacts),
        "by": found[-1].who,
    }


def _missing(notice: Notice) -> list[dict[str, str]]:
    return [{"element": name, "source": source, "ask": ask} for name, source, ask in what_is_missing(notice)]


def notice_rows(home: Path) -> list[dict[str, Any]]:
    """Return one row a notice, by its last receipt."""
    rows = {}
    for receipt in received_notices(home):
        rows[receipt.request_id] = _row(receipt)
    return list(rows.values())


def _row(receipt: Receipt) -> dict[str, Any]:
    settings = receipt.settings
    return {
        "request_id": receipt.request_id,
        "state": receipt.outcome,
        "kind": settings["kind"],
        "received_at": settings["received_at"],
        "due": settings["due_at"],
        "missing": (receipt.verdict or {}).get("reasons", []),
        "counters": settings.get(COUNTERS),
        "receipt": receipt.digest,
    }


def list_due(home: Path, now: datetime | None = None) -> dict[str, Any]:
    """Return all that waits to be carried out, the most urgent first; the exit code tells whether anything is late.

    The clock of a notice holds for the policy that came of it, whatever moment that policy names. What a
    counter-notice is about is due by the end of its window, if it was published, and else no more. What is in force and
    ends within a month is listed too, until it is withdrawn; `ends` says in how many days. NothingOnRecord
    where there is no home. What no law sets a time for comes last. A request on two model lines has a row for each.
    """
    refuse_no_home(home)
    now = now or datetime.now(UTC)
    chains, problems = queries.read(home)
    open_rows: dict[str, dict[str, Any]] = {}
    by_line: dict[tuple[str, str], dict[str, Any]] = {}
    if NOTICES in chains:
        open_rows = {row["request_id"]: row for row in notice_rows(home) if not row["counters"] or row["missing"]}
        for stopped in (*open_counters(chains[NOTICES]), *rescissions(chains[NOTICES])):
            open_rows.pop(stopped, None)
    requests = queries.states_in(home, chains, now=now)
    for row in requests:
        notice = open_rows.get(row["request_id"])
        dues = [str(due) for due in (row["due"], notice and notice["due"]) if due]
        due = min(dues, key=datetime.fromisoformat, default=None)
        if row["countered"]:
            due = row["countered"]["closes"]
        elif row["rescinded"]:
            due = None  # no law says by when it is put back
        kept = {name: row[name] for name in ("request_id", "line", "state", "receipt", "ends")}
        place = (row["request_id"], row["line"])
        by_line[place] = {"kind": notice and notice["kind"], "missing": [], **kept, "due": due}
    for row in requests:
        open_rows.pop(row["request_id"], None)
        if _is_ended(row) and not _ends_soon(row, now):
            by_line.pop((row["request_id"], row["line"]), None)
    rows = sorted(
        ({"ends": "", **row, **_left(row["due"], now)} for row in (*open_rows.values(), *by_line.values())),
        key=lambda row: (row["due"] is None, row["days_left"] or 0.0, row["request_id"], row.get("line", "")),
    )
    late = EXIT_CODE_OF["FAIL"] if any(row["late"] for row in rows) else 0
    return {
        "home": str(home),
        "due": rows,
        "problems": problems,
        "exit_code": LedgerError.exit_code if problems else late,
    }


def _is_ended(row: dict[str, Any]) -> bool:
    """Return whether nothing has to be done for a request: it is carried out, a person refused it, or it is stopped."""
    refused = row["state"] == "rejected" and row["decided_by"] is not None
    stop = row["countered"] or row["rescinded"]
    stopped = stop is not None and not stop["published"]
    lost = row["state"] == "replaced" and row["same_as"]  # another's withdrawal took away what it relied on
    return (row["state"] in WAS_PUBLISHED and not lost) or refused or stopped or (row["ends"] == "expired" and not stop)


def _ends_soon(row: dict[str, Any], now: datetime) -> bool:
    """Return whether what is in force has an end that comes within a month, or came already."""
    expires = row["expires"] if row["state"] in ("published", "suspect") else None
    return expires is not None and datetime.fromisoformat(expires) <= now + SOON


def _left(due: str | None, now: datetime) -> dict[str, Any]:
    if due is None:
        return {"days_left": None, "late": False}
    seconds = (datetime.fromisoformat(due) - now).total_seconds()
    return {"days_left": round(seconds / DAY, 1), "late": seconds < 0}


def refuse_no_home(home: Path) -> None:
    """Raise NothingOnRecord where there is no home: an empty list would say that nothing is due."""
    if not home.is_dir():
        raise NothingOnRecord(f"EXPUNGE_HOME is {home}, and there is no such folder: set it to the home that is meant")
