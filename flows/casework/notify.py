"""Tell people what happened and what waits, by e-mail, chat or webhook: each of it once to each address.

A message says no more than the number of a notice, or of a receipt: it leaves the house, and a request's own id could
name a person.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expunge.flows.casework.approval import waiting
from expunge.flows.casework.notices import list_due, refuse_no_home
from expunge.tasks.core.errors import LedgerError, ServiceUnreachable, UsageError
from expunge.tasks.core.paths import write_over
from expunge.tasks.ledger import queries
from expunge.tasks.ledger.receipt import Step

VARIABLE = "EXPUNGE_NOTIFY"
SENT = "notified.json"
SOON_DAYS = 2.0
OWN_NUMBER = re.compile(r"notice-\d{8}-[0-9a-f]{12}")
PAST = ("received", "published")
"""What is told as it happens only: the first message to an address is not the whole past."""


@dataclass(frozen=True)
class Event:
    """One thing to tell; `key` is the same as long as it is the same thing."""

    what: str
    key: str
    title: str
    text: str


def notify(home: Path, addresses: Sequence[str], now: datetime | None = None) -> dict[str, Any]:
    """Send what was not sent yet, and return it with the problems; what failed is sent again by the next run.

    Raises:
        UsageError: no address is named, or one is of no kind that is known.
    """
    refuse_no_home(home)
    services = _services(addresses)
    done, events = set(_sent(home)), list(events_of(home, now or datetime.now(UTC)))
    problems, told = [], []
    for address, service in services.items():
        first = address not in done
        for event in events:
            mark = f"{address}:{event.key}"
            if mark in done:
                continue
            past = first and event.what in PAST
            if past or service.notify(title=event.title, body=event.text):
                told += [] if past else [asdict(event)]
                done.add(mark)
                _keep(home, done)
            else:
                problems.append(f"{service[0].url(privacy=True)} did not take: {event.title}")
        done.add(address)
    _keep(home, done)
    return {"sent": told, "problems": problems, "exit_code": ServiceUnreachable.exit_code if problems else 0}


def events_of(home: Path, now: datetime) -> Iterator[Event]:
    """Yield what there is to tell. LedgerError where the record of a line does not hold: then nobody can tell."""
    chains, problems = queries.read(home)
    if problems:
        raise LedgerError("\n".join(problems))
    for receipt in queries.receipts(home):
        if receipt.step == Step.RECEIVED:
            yield _event("received", receipt.request_id, receipt.digest, "was received. Its clock runs.")
    for row in list_due(home, now)["due"]:
        if row["days_left"] is not None and row["days_left"] <= SOON_DAYS:
            what, words = ("late", "is late: it was due") if row["late"] else ("due soon", "is due")
            yield _event(what, row["request_id"], row["receipt"], f"{words} on {row['due']}.", row["due"])
    for row in waiting(home):
        if row["state"] == "awaiting_approval":
            yield _event("awaiting you", row["request_id"], row["receipt"], "waits for your decision.")
    for row in queries.states_in(home, chains, now=now):
        if row["state"] == "suspect":
            words = "is suspect: what it published was not proven again."
            yield _event("suspect", row["request_id"], row["receipt"], words, *row["reasons"])
        elif row["state"] == "published":
            yield _event("published", row["request_id"], row["receipt"], "was carried out, and its model is published.")


def _event(what: str, request_id: str, receipt: str, words: str, *same: str) -> Event:
    reference = request_id if OWN_NUMBER.fullmatch(request_id) else f"The request with receipt {receipt[:12]}"
    of = [request_id, *same] if what in ("late", "due soon") else [receipt, *same]
    key = hashlib.sha256("\n".join([what, *of]).encode()).hexdigest()[:32]
    return Event(what, key, f"expunge: {what}", f"{reference} {words}")


def _services(addresses: Sequence[str]) -> Mapping[str, Any]:
    """Return a sender for each address, under a digest of it: an address holds passwords."""
    from apprise import Apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would log an address with its password
    if not addresses:
        raise UsageError(f"{VARIABLE} is not set: give addresses as Apprise writes them, with spaces between")
    services = {}
    for number, address in enumerate(addresses, 1):
        service = Apprise()
        if not service.add(address):
            raise UsageError(f"{VARIABLE}: address {number} is of no kind that is known; see Apprise for their forms")
        services[hashlib.sha256(address.encode()).hexdigest()[:16]] = service
    return services


def _sent(home: Path) -> list[str]:
    """Return the addresses that were told before, and what was sent to each."""
    try:
        found = json.loads((home / SENT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UsageError(f"{home / SENT} cannot be read ({error}): remove it, and what is open is sent again") from None
    return [str(mark) for mark in found]


def _keep(home: Path, marks: set[str]) -> None:
    write_over(home / SENT, json.dumps(sorted(marks)).encode())
