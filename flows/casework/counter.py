"""Letters that stop a publication: a counter-notice against a copyright request, and a notice that is taken back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from expunge.flows.casework.notices import MOST_BYTES, draft_file, notice_rows, refuse_no_home
from expunge.policies.kinds import KINDS, NoticeKind
from expunge.policies.notices import draft_withdrawal
from expunge.policies.notices.notice import Notice
from expunge.tasks.core.errors import NothingOnRecord, UsageError
from expunge.tasks.ledger import queries
from expunge.tasks.ledger.notices import LINE as NOTICES
from expunge.tasks.ledger.notices import receive, received_at, senders_of, what_is_missing, write_draft
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.storage.record.appending import append_for_all


def counter(request_id: str, file: Path, at: datetime | None, home: Path, court_action: bool = False) -> dict[str, Any]:
    """Put a counter-notice against a request on record, or the news of a court action that answers one.

    Raises:
        NothingOnRecord: no such request or notice is on record.
        UsageError: it is no copyright request, for no other law knows counter-notices.
        PolicyErrors: the file cannot be read.
    """
    with file.open("rb") as handle:
        data = handle.read(MOST_BYTES)
    return record_counter(request_id, data, str(file), at, home, court_action)


def record_counter(
    request_id: str, data: bytes, source: str, at: datetime | None, home: Path, court_action: bool = False
) -> dict[str, Any]:
    """Do as `counter` with the bytes of a notice; `source` names them in errors.

    The news of a court action counts from the sender of the first notice alone, where that is on record.
    """
    return append_for_all(home, lambda: _countered(request_id, data, source, at, home, court_action))


def _countered(
    request_id: str, data: bytes, source: str, at: datetime | None, home: Path, court_action: bool
) -> dict[str, Any]:
    refuse_no_home(home)
    if not KINDS[kind := _kind_of(request_id, home)].is_countered:
        answered = " and ".join(f"{one.words}s" for one in KINDS.values() if one.is_countered)
        raise UsageError(f"{request_id} is of the kind {kind}, and counter-notices answer {answered} only")
    of_kind: NoticeKind = "court_action" if court_action else "counter_notice"
    senders = (senders_of(home, request_id) or None) if court_action else None
    receipt, notice = receive(home, data, source, of_kind, at, request_id, senders)
    return _summary(receipt, notice, request_id, senders) | {"draft": _drafted(home, receipt, request_id)}


def rescind(request_id: str, file: Path, at: datetime | None, home: Path) -> dict[str, Any]:
    """Put on record that the sender of a notice takes it back; the letter must come from the sender of the notice.

    Raises:
        NothingOnRecord: no such request or notice is on record.
        UsageError: its notice is not on record, or names no sender, so nobody can tell who may take it back.
        PolicyErrors: the file cannot be read.
    """
    with file.open("rb") as handle:
        data = handle.read(MOST_BYTES)
    return append_for_all(home, lambda: _rescinded(request_id, data, str(file), at, home))


def _rescinded(request_id: str, data: bytes, source: str, at: datetime | None, home: Path) -> dict[str, Any]:
    refuse_no_home(home)
    _kind_of(request_id, home)
    if not (senders := senders_of(home, request_id)):
        raise UsageError(
            f"no notice of {request_id} with a sender is on record, so nobody can tell who may take it back: what is "
            "published is withdrawn by a policy that `replaces` it"
        )
    receipt, notice = receive(home, data, source, "rescission", at, request_id, senders)
    return _summary(receipt, notice, request_id, senders)


def _drafted(home: Path, receipt: Receipt, request_id: str) -> str:
    """Return the draft of the policy that puts back what was published; "" where nothing is to be put back."""
    chains, _ = queries.read(home)
    published = [
        row["policy"]
        for row in queries.states_in(home, chains)
        if row["request_id"] == request_id and (row["countered"] or {}).get("published")
    ]
    if not published or receipt.outcome != "received" or not (opens := receipt.settings.get("opens_at")):
        return ""
    policy, draft = kept_policy(home, published[-1]), draft_file(home, receipt.request_id)
    window = str(opens), str(receipt.settings["due_at"])
    write_draft(draft, draft_withdrawal(policy, receipt.request_id, received_at(receipt), window), chosen=False)
    return str(draft)


def _summary(receipt: Receipt, notice: Notice, request_id: str, senders: set[str] | None = None) -> dict[str, Any]:
    lacking = what_is_missing(notice, senders)
    return {
        "request_id": receipt.request_id,
        "counters": request_id,
        "kind": notice.kind,
        "state": receipt.outcome,
        "received_at": receipt.settings["received_at"],
        "opens": receipt.settings.get("opens_at"),
        "closes": receipt.settings["due_at"],
        "receipt": receipt.digest,
        "missing": [{"element": name, "source": source, "ask": ask} for name, source, ask in lacking],
        "unclear": list(notice.unclear),
    }


def _kind_of(request_id: str, home: Path) -> str:
    """Return the kind of a request, or of a notice that no policy has come of yet."""
    chains, _ = queries.read(home)
    policies = [row["policy"] for row in queries.states_in(home, chains) if row["request_id"] == request_id]
    if policies:
        return kept_policy(home, policies[-1]).kind
    notices = notice_rows(home) if NOTICES in chains else []
    kinds = [row["kind"] for row in notices if row["request_id"] == request_id]
    if not kinds:
        raise NothingOnRecord(f"no request {request_id!r} is on record: see `expunge status`")
    return kinds[-1]
