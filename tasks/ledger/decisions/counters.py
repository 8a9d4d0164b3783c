"""Counter-notices: which are open, and for how long, from the receipts of notices alone.

A counter-notice counts once it is complete: else anybody could stop a takedown by a line of text. It is open until the
sender of the first notice has told of a court action. What it stops meanwhile is in `stopping`; what was published is
put back within its window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    found = dict[str, Receipt]()
    for receipt in of_step(notices, Step.RECEIVED):
        about = str(receipt.settings.get(COUNTERS, ""))
        is_counter = receipt.settings["kind"] == COUNTER_NOTICE and receipt.outcome == "received"
        if about and is_counter and about not in answered:
            found.setdefault(about, receipt)
    return found


def answered_counters(notices: Sequence[Receipt]) -> dict[str, tuple[Receipt, Receipt]]:
    """Return by request id the first complete counter-notice that a court action has answered, and that action."""
    found, answered = dict[str, Receipt](), dict[str, tuple[Receipt, Receipt]]()
    for receipt in of_step(notices, Step.RECEIVED):
        about = str(receipt.settings.get(COUNTERS, ""))
        if not about or receipt.outcome != "received":
            continue
        if receipt.settings["kind"] == COURT_ACTION and about in found:  # there is nothing to answer before
            answered.setdefault(about, (found[about], receipt))
        elif receipt.settings["kind"] == COUNTER_NOTICE:
            found.setdefault(about, receipt)
    return answered


def rescissions(notices: Sequence[Receipt]) -> dict[str, Receipt]:
    """Return by request id the receipt of the first complete letter by which its sender took the notice back."""
    found = dict[str, Receipt]()
    for receipt in of_step(notices, Step.RECEIVED):
        if receipt.settings["kind"] == RESCISSION and receipt.outcome == "received":
            found.setdefault(str(receipt.settings[COUNTERS]), receipt)
    return found


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
