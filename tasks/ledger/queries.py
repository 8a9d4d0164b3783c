"""Queries on the record: the state of each request, from receipts alone, whether or not any server is up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from expunge.policies import Policy
from expunge.tasks.core.errors import IntegrityError, LedgerError
from expunge.tasks.core.paths import REPORT, receipts_folder, work_folder
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.decisions.counters import with_counters
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.amendments import with_amendments
from expunge.tasks.ledger.line.requests import states_of
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.policy_store import kept_policies, named_policies
from expunge.tasks.ledger.receipt import LINE, Receipt, Step, of_step
from expunge.tasks.ledger.recorder import journal

NOTICES = "notices"
"""The line of the receipts of notices, on which no model is."""


def receipts(home: Path) -> Iterator[Receipt]:
    """Return all receipts of all lines whose chain holds, each line in order."""
    chains, _ = read(home)
    return chain.from_iterable(chains.values())


def read(home: Path, without: str = "") -> tuple[dict[str, list[Receipt]], list[str]]:
    """Return by line the receipts of those whose chain holds, and why others do not.

    Nothing can be said of these, and no other line waits for that.
    """
    found, problems = {}, []
    for line in lines(home):
        if line == without:
            continue
        try:
            found[line] = journal(home, line).receipts()
        except LedgerError as error:
            problems.append(str(error))
    return found, problems


def lines(home: Path) -> list[str]:
    """Return the names of all lines on record, also of one with signatures alone, whose receipts were removed."""
    folders = [folder for folder in (receipts_folder(home), home / "signatures") if folder.is_dir()]
    return sorted({path.name for folder in folders for path in folder.iterdir() if is_line(path)})


def line_of(policy: Policy, home: Path) -> str:
    """Return the model line: one base by its content, whoever asks and wherever it lies.

    A line there is keeps its name.

    Raises IntegrityError where the record has two for the base: on either some of what is in force would be missing.
    """
    suffix = f"-{policy.base.sha256[:12]}"
    own = [line for line in lines(home) if line.endswith(suffix)]
    known = [line for line in own if any((receipts_folder(home) / line).glob("*.json"))]
    if len(known) > 1:
        raise IntegrityError(
            f"{receipts_folder(home)} has more than one line of this base, {' and '.join(known)}: take out what is a "
            "copy, see `expunge audit`"
        )
    kind, _, name = policy.base.uri.partition(":")
    return known[0] if known else (name if kind == "builtin" else "model") + suffix


def is_line(path: Path) -> bool:
    """Return whether a folder of a home's receipts can be that of a line; others are somebody's copies."""
    return path.is_dir() and LINE.fullmatch(path.name) is not None


def lines_to_check(home: Path, until: datetime | None = None) -> list[str]:
    """Return the lines on which something is published; with `until` only those whose check is due by then."""
    return [line for line in lines(home) if is_to_check(home, line, until)]


def line_status(home: Path, line: str) -> LineStatus | None:
    """Return the status of a line; None before its first publication. LedgerError where its chain does not hold."""
    return LineStatus.by(home, journal(home, line).receipts())


def is_to_check(home: Path, line: str, until: datetime | None = None) -> bool:
    """Return whether a line is one of these. Of one whose chain does not hold nobody can tell, so it is."""
    try:
        status = line_status(home, line)
    except LedgerError:
        return True
    if status is None or until is None:
        return status is not None
    return status.check_due is None or status.check_due <= until


def states(home: Path, policy: str | None = None, now: datetime | None = None) -> list[dict[str, Any]]:
    """Return the state of each request of the whole record, as `states_of` has it."""
    return states_in(home, read(home)[0], policy, now)


def states_in(
    home: Path, chains: Mapping[str, Sequence[Receipt]], policy: str | None = None, now: datetime | None = None
) -> list[dict[str, Any]]:
    """Return the states of the requests in these chains, with the policies that the home keeps.

    A counter-notice that is open makes a request `countered`. Each has what it `amends` and by what it was `amended`.
    """
    kept, lost = kept_policies(home, named_policies(chain.from_iterable(chains.values())))
    rows = with_counters(states_of(chains, kept, lost, None, now), chains.get(NOTICES, ()))
    return [row for row in with_amendments(rows, chains, kept) if policy in (None, row["policy"])]


def elsewhere(home: Path, ledger: Ledger, request_id: str) -> dict[str, list[str]]:
    """Return what is in force on other lines, by line, as long as no other request was published on this one.

    None of it holds for a base that has another digest, were it the same model with another README.
    """
    if {receipt.request_id for receipt in of_step(ledger.chain, Step.PUBLISHED)} - {request_id}:
        return {}
    chains, _ = read(home, without=ledger.line)
    others = {other: LineStatus.by(home, own) for other, own in chains.items()}
    return {other: list(found.in_force) for other, found in others.items() if found and found.in_force}


def last_order(home: Path, policy: str) -> Order | None:
    """Return the work order that a policy came to last; one that was turned away at the door came to none."""
    found = [row["work"] for row in states(home, policy) if row["work"] != policy]
    return Order.load(home, found[-1]) if found else None


def publications(home: Path, line: str) -> list[Receipt]:
    """Return the receipts of all that was published on a line, the latest last."""
    return of_step(journal(home, line).receipts(), Step.PUBLISHED)


def publication(home: Path, line: str, policy: str) -> Receipt | None:
    """Return the receipt by which what a policy came to was published last on a line, if it was."""
    return publication_in(journal(home, line).receipts(), policy)


def publication_in(chain: Sequence[Receipt], policy: str) -> Receipt | None:
    """Return the receipt in this chain by which what a policy came to was published last, if it was."""
    found = [one for one in of_step(chain, Step.PUBLISHED) if one.inputs["policy"] == policy]
    return found[-1] if found else None


def is_restored(home: Path, line: str) -> bool:
    """Return whether a line serves its base, for all requests on it are withdrawn."""
    status = line_status(home, line)
    return status is not None and status.restored


def summary(home: Path, line: str) -> dict[str, Any]:
    """Return what a line serves, whether it is suspect and why, and by when it has to be proven again, as data."""
    try:
        status = line_status(home, line)
    except LedgerError:
        status = None
    if status is None:
        unknown = dict.fromkeys(("bundle", "checked", "report", "proof_due"))
        return {"line": line, **unknown, "suspect": [], "restored": False}
    proof, due = status.proof, status.proof_due
    report = work_folder(home, (proof.check or proof.publication).work) / REPORT
    return {
        "line": line,
        "bundle": proof.bundle,
        "checked": proof.check and proof.check.at,
        "report": str(report) if report.exists() else None,
        "suspect": status.doubts,
        "restored": status.restored,
        "proof_due": due and due.isoformat(),
    }
