"""The transparency report of a period: how many requests came in, of which kind, what became of them, and how fast."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from statistics import median
from typing import Any

from expunge.tasks.core.errors import LedgerError
from expunge.tasks.ledger.policy_store import kept_policies
from expunge.tasks.ledger.queries import NOTICES, read, states_in
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.views.letters.plain_text import defused

DAY = 86_400


@dataclass(frozen=True)
class Row:
    """The requests of one kind in one state; `median_days` is None where none of them was decided."""

    kind: str
    state: str
    requests: int
    median_days: float | None
    late: int


@dataclass(frozen=True)
class _Request:
    kind: str
    state: str
    received: datetime
    decided: datetime | None
    due: datetime | None

    def is_late(self, now: datetime) -> bool:
        return self.due is not None and (self.decided or now) > self.due


@dataclass(frozen=True)
class Period:
    """The figures of all requests that came in from `first` to `last`, both days included, in UTC."""

    first: date
    last: date
    rows: tuple[Row, ...]
    total: int
    decided: int
    late: int


def period_of(home: Path, first: date, last: date, now: datetime) -> Period:
    """Return the figures of a period. LedgerError if a line's receipts do not hold, for then a count is no count."""
    chains, problems = read(home)
    if problems:
        raise LedgerError(f"nothing is counted in a record that does not hold: {'; '.join(problems)}")
    zone = now.tzinfo
    found = [one for one in _requests(home, chains) if first <= one.received.astimezone(zone).date() <= last]
    groups: dict[tuple[str, str], list[_Request]] = {}
    for one in found:
        groups.setdefault((one.kind, one.state), []).append(one)
    rows = tuple(_row(*key, groups[key], now) for key in sorted(groups))
    decided = sum(one.decided is not None for one in found)
    return Period(first, last, rows, len(found), decided, sum(row.late for row in rows))


def as_csv(period: Period) -> str:
    """Return the rows of a period as CSV, in which no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["from", "to", *Row.__dataclass_fields__])
    for row in period.rows:
        cells = [period.first, period.last, *asdict(row).values()]
        writer.writerow(["" if cell is None else defused(cell) for cell in cells])
    return out.getvalue()


def _requests(home: Path, chains: Mapping[str, Sequence[Receipt]]) -> Iterator[_Request]:
    """Yield every request once for each line that it is on, and every notice that no policy has come of yet."""
    notices = {one.request_id: one for one in of_step(chains.get(NOTICES, ()), Step.RECEIVED)}
    rows = {(row["request_id"], row["line"]): row for row in states_in(home, chains)}
    kept, _ = kept_policies(home, {row["policy"] for row in rows.values()})
    for (request_id, line), row in rows.items():
        notice, policy = notices.get(request_id), kept.get(row["policy"])
        own = [one for one in chains[line] if one.request_id == request_id]
        received: datetime = policy.received_at if policy else datetime.fromisoformat(own[0].at)
        if notice:
            received = min(received, _moment(notice, "received_at"))
        dues = [datetime.fromisoformat(row["due"])] if row["due"] else []
        dues += [_moment(notice, "due_at")] if notice and notice.settings["due_at"] else []
        state = "refused" if row["state"] == "rejected" and row["decided_by"] else row["state"]
        kind = policy.kind if policy else "unknown"
        yield _Request(kind, state, received, _decided(own, state), min(dues, default=None))
    ids = {request_id for request_id, _ in rows}
    for request_id, notice in notices.items():
        if request_id not in ids:
            due = _moment(notice, "due_at") if notice.settings["due_at"] else None
            kind, state = str(notice.settings["kind"]), str(notice.outcome)
            yield _Request(kind, state, _moment(notice, "received_at"), None, due)


def _decided(own: Sequence[Receipt], state: str) -> datetime | None:
    """Return when a request was decided: first published or found to be in force already, or refused by a person."""
    steps = (Step.REFUSED,) if state == "refused" else (Step.PUBLISHED, Step.REPEATED)
    return next((datetime.fromisoformat(one.at) for one in of_step(own, *steps)), None)


def _moment(notice: Receipt, name: str) -> datetime:
    return datetime.fromisoformat(str(notice.settings[name]))


def _row(kind: str, state: str, requests: Sequence[_Request], now: datetime) -> Row:
    days = [(one.decided - one.received).total_seconds() / DAY for one in requests if one.decided]
    late = sum(one.is_late(now) for one in requests)
    return Row(kind, state, len(requests), round(median(days), 1) if days else None, late)


def page_values(period: Period, now: datetime) -> dict[str, Any]:
    """Return what the page of a period prints."""
    return {
        **asdict(period),
        "first": period.first.isoformat(),
        "last": period.last.isoformat(),
        "written": f"{now:%Y-%m-%d %H:%M} UTC",
    }
