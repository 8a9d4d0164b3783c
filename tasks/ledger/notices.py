"""Notices as they were received: each is on record at once, complete or not, and its clock runs from then on.

The record has what a reader found, contacts as references, and the digest of the file; never the file itself. Keep it
where such letters are kept. The receipts lie in a line of their own, so the audit reads them like those of any model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import expunge.engine
from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.atomic import write_new, write_whole
from expunge.policies.kinds import KINDS, NoticeKind
from expunge.policies.model.deadlines import due_after
from expunge.policies.notices import Notice, read_notice
from expunge.tasks.core.errors import IntegrityError, UsageError
from expunge.tasks.core.machine.own_secret import own_secret
from expunge.tasks.core.settings import actor
from expunge.tasks.ledger.decisions.counters import COUNTER_NOTICE, COUNTERS, COURT_ACTION, RESCISSION
from expunge.tasks.ledger.decisions.window import restore_window
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.queries import NOTICES
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures.signing import shared_secret
from expunge.tasks.ledger.signatures.timestamps import stamping

LINE = NOTICES
KIND_UNKNOWN = "kind"


def receive(
    home: Path,
    data: bytes,
    source: str,
    kind: NoticeKind | None,
    at: datetime | None,
    about: str = "",
    senders: Collection[str] | None = None,
) -> tuple[Receipt, Notice]:
    """Put a notice on record, and return its receipt with what was found. The same file twice has one receipt.

    Args:
        kind: what the person who hands it in says it is; None leaves it to what the notice itself says.
        at: when it came in; None is now, or for a file that is on record when that came in.
        about: the request that a counter-notice, a court action or a rescission is about.
        senders: references of which the letter must have one, or it lacks its sender; None for any.

    Raises:
        PolicyErrors: the file cannot be read at all.
        UsageError: `at` has no time zone, or lies in the future.
    """
    now = datetime.now(UTC)
    if at and (at.tzinfo is None or at > now):
        raise UsageError("--received needs date, time and zone, and lies in the past: write 2026-01-31T09:30:00+01:00")
    notice, file = read_notice(data, source, _contacts_key(home), kind), sha256(data)
    with alone_on(LINE, home):
        before = [one for one in received_notices(home) if one.inputs["file"] == file]
        if about and before and before[0].request_id == about:
            raise UsageError(f"{source} is the notice itself, which {about} came of: name the file of the answer to it")
        same = before and before[-1].settings.get(COUNTERS, "") == about
        if same and (kind is None or before[-1].settings["kind"] == kind) and not _is_earlier(at, before):
            return before[-1], kept_notice(home, before[-1].inputs["notice"])
        earliest = min([at or now, *(received_at(one) for one in before)])
        return _recorded(home, notice, file, earliest, before, about, senders), notice


def _contacts_key(home: Path) -> bytes:
    """Return the key that makes contacts references: on all machines with the same signing key the same.

    The home keeps it, for references must stay the same when another key signs.
    """
    return own_secret(home, "contacts.key", lambda: shared_secret(home, "contacts"))


def received_notices(home: Path) -> list[Receipt]:
    """Return the receipts of all notices, the latest last. LedgerError where the chain does not hold."""
    return of_step(journal(home, LINE).receipts(), Step.RECEIVED)


def received_at(receipt: Receipt) -> datetime:
    """Return when the notice came in, by its receipt."""
    return datetime.fromisoformat(str(receipt.settings["received_at"]))


def kept_notice(home: Path, digest: str) -> Notice:
    """Return what was found in a notice; IntegrityError if that is not there, or says something else by now."""
    path = _path(home, digest)
    try:
        content = path.read_bytes()
        if sha256(content) == digest:
            return Notice.model_validate_json(content)
    except (OSError, ValueError):
        pass
    raise IntegrityError(f"{path} is not the notice that was received: restore it from a backup")


def senders_of(home: Path, request_id: str) -> set[str]:
    """Return the references of those from whom the notices of a request came."""
    own = [one for one in received_notices(home) if one.request_id == request_id]
    return {sender for one in own for sender in kept_notice(home, one.inputs["notice"]).senders}


def what_is_missing(notice: Notice, senders: Collection[str] | None = None) -> list[tuple[str, str, str]]:
    """Return name, source and the sentence to send back of all that a notice lacks."""
    unknown = (KIND_UNKNOWN, "intake", "Please say on which law or right you rely, so that we know its rules.")
    found = notice.found.keys() - ({"due_at"} if _ordered(notice) is None else set())
    lacking = KINDS[notice.kind].missing(found)
    other = ("sender", "intake", "Please write from the address from which the notice came, so that we know it is you.")
    return [
        *([] if notice.kind_stated else [unknown]),
        *((one.name, one.source, one.ask) for one in lacking),
        *([other] if senders is not None and not set(notice.senders) & set(senders) else []),
    ]


def write_draft(draft: Path, text: str, chosen: bool) -> None:
    """Write the draft; one that is there already is left as a person has it by now, unless another place was chosen."""
    try:
        if not chosen:
            draft.parent.mkdir(parents=True, exist_ok=True)
        write_new(draft, text.encode())
    except FileExistsError:
        if chosen:
            raise UsageError(f"--out {draft} is there already: the notice is on record; name a new file") from None
    except FileNotFoundError:
        raise UsageError(f"--out {draft} is in no folder: the notice is on record; name a file in one") from None


def _recorded(
    home: Path,
    notice: Notice,
    file: str,
    at: datetime,
    before: Sequence[Receipt],
    about: str,
    senders: Collection[str] | None,
) -> Receipt:
    content = canonical_json(notice.model_dump(mode="json"))
    write_whole(_path(home, sha256(content)), content)
    missing = [name for name, _, _ in what_is_missing(notice, senders)]
    settings = {"kind": notice.kind, "received_at": at.isoformat(), **_clock(notice, at, complete=not missing)}
    settings |= {COUNTERS: about} if about else {}
    return journal(home, LINE).append(
        Step.RECEIVED,
        request_id=before[0].request_id if before else f"notice-{at:%Y%m%d}-{file[:12]}",
        who=actor(),
        inputs={"file": file, "notice": sha256(content)},
        outputs={},
        settings={"work": file, **settings},
        versions={"expunge": expunge.engine.__version__, **stamping()},
        verdict={"outcome": "defective" if missing else "received", "reasons": missing},
    )


def _clock(notice: Notice, at: datetime, complete: bool) -> dict[str, str | None]:
    """Return by when a notice is to be acted on, and of a complete counter-notice from when."""
    if notice.kind in (COUNTER_NOTICE, COURT_ACTION, RESCISSION):
        window = restore_window(at) if complete and notice.kind == COUNTER_NOTICE else None
        return {"opens_at": window[0].isoformat(), "due_at": window[1].isoformat()} if window else {"due_at": None}
    due = _ordered(notice) or due_after(notice.kind, at)
    return {"due_at": due and due.isoformat()}


def _is_earlier(at: datetime | None, before: Sequence[Receipt]) -> bool:
    """Return whether a notice came in before the record says. No later moment ever counts: the clock is not reset."""
    return at is not None and at < min(received_at(one) for one in before)


def _ordered(notice: Notice) -> datetime | None:
    """Return the date that a notice sets, as a court order does, if it gives a moment that has no two readings."""
    try:
        moment = datetime.fromisoformat(notice.found.get("due_at", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _path(home: Path, digest: str) -> Path:
    return home / "notices" / f"{digest}.json"
