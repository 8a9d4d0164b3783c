"""Counter-notices: which are open, and for how long, from the receipts of notices alone.

A counter-notice counts once it is complete: else anybody could stop a takedown by a line of text. It is open until the
sender of the first notice has told of a court action. What it stops meanwhile is in `stopping`; what was published is
put back within its window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from expunge.errors import ExpungeError
from expunge.tasks.ledger.receipt import Receipt, Step, of_step

COUNTERS = "counters"
"""The setting by which the receipt of a counter-notice names the request that it is about."""
COUNTER_NOTICE, COURT_ACTION, RESCISSION = "counter_notice", "court_action", "rescission"
STOPPED = ("rejected", "repeated", "replaced", "restored", "suspect")
"""States that a counter-notice does not change."""


class Countered(ExpungeError):
    """A counter-notice is open, or the notice was taken back; nothing was published."""

    exit_code = 7


def requests_in(notices: Iterable[Receipt]) -> list[Receipt]:
    """Return the receipts of the notices that ask for something, and answer no other notice."""
    return [one for one in of_step(notices, Step.RECEIVED) if not one.settings.get(COUNTERS)]


def open_counters(notices: Sequence[Receipt]) -> dict[str, Receipt]:
    """Return by request id the receipt of the first complete counter-notice that no court action has answered."""
    answered = answered_counters(notices)
    return {about: one for about, one in _first(notices, COUNTER_NOTICE).items() if about not in answered}


def answered_counters(notices: Sequence[Receipt]) -> dict[str, tuple[Receipt, Receipt]]:
    """Return by request id the first complete counter-notice that a court action has answered, and that action."""
    counters, found = _first(notices, COUNTER_NOTICE), dict[str, tuple[Receipt, Receipt]]()
    for about, action in _complete(notices, COURT_ACTION):
        if about in counters and counters[about].sequence < action.sequence:  # there is nothing to answer before
            found.setdefault(about, (counters[about], action))
    return found


def rescissions(notices: Sequence[Receipt]) -> dict[str, Receipt]:
    """Return by request id the receipt of the first complete letter by which its sender took the notice back."""
    return _first(notices, RESCISSION)


def _first(notices: Sequence[Receipt], kind: str) -> dict[str, Receipt]:
    found = dict[str, Receipt]()
    for about, receipt in _complete(notices, kind):
        found.setdefault(about, receipt)
    return found


def _complete(notices: Sequence[Receipt], kind: str) -> Iterator[tuple[str, Receipt]]:
    """Yield the complete notices of a kind that answer a request, each after the id of that request."""
    for receipt in of_step(notices, Step.RECEIVED):
        if receipt.settings["kind"] == kind and receipt.outcome == "received" and receipt.settings.get(COUNTERS):
            yield str(receipt.settings[COUNTERS]), receipt


def window_of(counter: Receipt) -> dict[str, str]:
    """Return from when and until when what a counter-notice asks for is put back."""
    return {"opens": str(counter.settings["opens_at"]), "closes": str(counter.settings["due_at"])}


def with_counters(rows: Sequence[dict[str, Any]], notices: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Return the states of requests with the open counter-notices against them.

    `countered` has the window, and whether anything of the request is published; `rescinded` the latter.
    """
    counters, back = open_counters(notices), rescissions(notices)
    return [_overlaid(row, counters.get(row["request_id"]), back.get(row["request_id"])) for row in rows]


def _overlaid(row: Mapping[str, Any], counter: Receipt | None, back: Receipt | None) -> dict[str, Any]:
    row = {**row, "countered": None, "rescinded": None}
    if row["state"] in STOPPED:
        return row
    if back:
        published = row["state"] == "published"
        words = f"taken back by its sender at {back.settings['received_at']}"
        words += ": withdraw it by a policy that replaces it" if published else ""
        rescinded = {"published": published, "receipt": back.digest}
        return {**row, "state": "rescinded", "reasons": [words], "rescinded": rescinded}
    if counter is None:
        return row
    countered = {**window_of(counter), "published": row["state"] == "published", "receipt": counter.digest}
    words = f"counter-notice of {counter.settings['received_at']}"
    if countered["published"]:
        words += f": put it back from {countered['opens']} until {countered['closes']}"
    return {**row, "state": "countered", "reasons": [words], "countered": countered}
