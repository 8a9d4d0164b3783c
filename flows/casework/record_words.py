"""One receipt in plain sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expunge.flows.casework.notices import refuse_no_home
from expunge.flows.casework.trail import OUTCOMES, STEPS
from expunge.tasks.core.errors import IntegrityError, LedgerError, NothingOnRecord, UsageError
from expunge.tasks.core.paths import FILES_OF_RECEIPTS, work_folder
from expunge.tasks.core.work_order import Ref
from expunge.tasks.ledger import queries
from expunge.tasks.ledger.receipt import Receipt

DIGEST = re.compile(r"[0-9a-f]{8,64}")
"""The first digits of a receipt's digest, at least 8 of them."""


def describe_receipt(home: Path, digest: str) -> dict[str, Any]:
    """Return what the receipt of this digest says; its first digits are enough, where one alone begins with them.

    Raises:
        NothingOnRecord: no receipt begins with them.
        UsageError: several do.
        LedgerError: none of those that hold does, and a line does not hold.
    """
    refuse_no_home(home)
    chains, problems = queries.read(home)
    found = [one for chain in chains.values() for one in chain if one.digest.startswith(digest)]
    if not found and problems:
        raise LedgerError("\n".join(problems))
    if not found:
        raise NothingOnRecord(f"no receipt {digest} is on record: `expunge receipts REQUEST` lists those of a request")
    if len(found) > 1:
        raise UsageError(f"{len(found)} receipts begin with {digest}: give more digits")
    return {"receipt": found[0].digest, "says": list(_says(home, found[0])), "content": found[0].model_dump()}


def _says(home: Path, receipt: Receipt) -> Iterator[str]:
    said = receipt.verdict or {}
    words = STEPS.get(receipt.step, receipt.step)
    yield f"{words}: the step `{receipt.step}` of the request {receipt.request_id}."
    yield f"It is number {receipt.sequence} on the line {receipt.line}, written on {receipt.at} by {receipt.who}."
    if by := said.get("by"):
        yield f"{by} decided it, and signed that."
    if receipt.outcome:
        yield f"Outcome: {OUTCOMES.get(receipt.outcome, receipt.outcome)}."
    for listed in (said.get("reasons"), said.get("seen")):
        yield from map(str, listed if isinstance(listed, list) else ())
    yield from _moments(receipt)
    for direction, digests in (("It rests on", receipt.inputs), ("It made", receipt.outputs)):
        for name, digest in digests.items():
            yield f"{direction} {name.replace('_', ' ')} {digest}{_state_of_file(home, receipt, name, digest)}."
    yield f"It was written by expunge {receipt.versions.get('expunge', 'of an unknown version')}."
    before = f"the receipt {receipt.previous[:12]}" if receipt.previous else "nothing: it is the first of its line"
    yield f"It follows {before}. The chain of its line holds; `expunge audit` checks signatures and files too."


def _moments(receipt: Receipt) -> Iterator[str]:
    names = {"received_at": "It came in on", "due_at": "It is due on", "opens_at": "It may be put back from"}
    yield from (f"{words} {receipt.settings[name]}." for name, words in names.items() if receipt.settings.get(name))
    if expires := (receipt.verdict or {}).get("expires"):
        yield f"It holds until {expires}."


def _state_of_file(home: Path, receipt: Receipt, name: str, digest: str) -> str:
    """Say whether the file of this digest is still what it was; "" where nothing is kept under the name."""
    if name not in FILES_OF_RECEIPTS:
        return ""
    path = work_folder(home, receipt.work) / FILES_OF_RECEIPTS[name]
    if not path.is_file():
        return ", which is not here"
    try:
        return ", which is here as it was" if Ref(str(path), digest, 0).path else ""
    except IntegrityError:
        return ", and the file here is ANOTHER"
