"""What the receipts say of each request: the only source for its state, whether or not any server is up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from expunge.policies import Policy
from expunge.policies.model.deadlines import due_at
from expunge.tasks.core.errors import IntegrityError, LedgerError
from expunge.tasks.core.paths import receipts_folder
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.status import Standing
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import LINE, Receipt, Step, of_step
from expunge.tasks.ledger.recorder import journal

STATES = {
    Step.READ: "accepted",
    Step.PLANNED: "planned",
    Step.ERASED: "erased",
    Step.ATTEMPTED: "attempted",
    Step.VERIFIED: "verified",
    Step.GATED: "gated",
    Step.BUNDLED: "validated",
    Step.PUBLISHED: "published",
    Step.REFUSED: "rejected",
    Step.REPEATED: "repeated",
}

UNPROVEN = {"checked": None, "proof_due": None, "proof_late": None}


def receipts(home: Path) -> Iterator[Receipt]:
    """All receipts of all lines whose chain holds, each line in order."""
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
    """All lines on record, by name; one of which only signatures are there too, for its receipts were removed."""
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


def is_to_check(home: Path, line: str, until: datetime | None = None) -> bool:
    """Return whether a line is one of these. Of one whose chain does not hold nobody can tell, so it is."""
    try:
        standing = Standing.of(home, line)
    except LedgerError:
        return True
    if standing is None or until is None:
        return standing is not None
    return standing.check_due is None or standing.check_due <= until


def states(home: Path, policy: str | None = None, now: datetime | None = None) -> list[dict[str, Any]]:
    """`states_of` the whole record as it is on disk."""
    chains, _ = read(home)
    return states_of(home, chains, policy, now)


def states_of(
    home: Path, chains: Mapping[str, Sequence[Receipt]], policy: str | None = None, now: datetime | None = None
) -> list[dict[str, Any]]:
    """Return the state of every work order and of every policy that was turned away, the latest last.

    With `policy`, a policy's digest, they are only its own. Work that came to nothing is left out where the same policy
    was taken up again since.

    `reasons` say why a request was refused, or what its last verdict rests on. `due` is the moment by which the law
    wants it published, and `late` whether it was not by then, or is not `now`; None where no law names one, or where
    the policy is not kept as it was received (`policy_kept`), so that it cannot be known. `same_as` is the request by
    which a `repeated` one is in force. What is published is proven again until `proof_due`, and is `suspect`, with the
    reasons, if the last check did not prove it; or it is `replaced` by the request that the reasons name, as others are
    that it `replaces`. What withdrew the last of them is `restored` as long as the base itself is published.
    """
    now = now or datetime.now(UTC)
    standings = {line: Standing.by(home, own) for line, own in chains.items()}
    orders, published = _orders(chains), {line: of_step(own, Step.PUBLISHED) for line, own in chains.items()}
    last = {row["policy"]: row["work"] for row in orders}
    return [
        _told(home, row, standings[row["line"]], _met(row, published[row["line"]]), now)
        for row in orders
        if policy in (None, row["policy"]) and (row["state"] == "published" or last[row["policy"]] == row["work"])
    ]


def _orders(chains: Mapping[str, Sequence[Receipt]]) -> list[dict[str, Any]]:
    """Return how far each work order came, the latest last.

    Each has the numbers of its last receipt and of the first one that names its policy on its line.
    """
    orders: dict[str, dict[str, Any]] = {}
    first: dict[tuple[str, str], int] = {}
    for receipt in chain.from_iterable(chains.values()):
        if receipt.step in (Step.CHECKED, Step.RECEIVED):
            continue
        key = receipt.work
        if orders.get(key, {}).get("state") == "published" and receipt.step != Step.PUBLISHED:
            continue  # it stays so, whatever a later run of the same work meets
        unknown = {"policy": "", "same_as": None, "verdict": None, "grade": None, "reasons": []}
        new = {"request_id": receipt.request_id, "line": receipt.line, **unknown}
        row = orders[key] = orders.pop(key, new)
        row["policy"] = str(receipt.inputs.get("policy", row["policy"]))
        row["first"] = first.setdefault((receipt.line, row["policy"]), receipt.sequence)
        row["last"] = receipt.sequence
        row |= {"state": STATES[Step(receipt.step)], "at": receipt.at, "receipt": receipt.digest, "work": key}
        same = (receipt.verdict or {}).get("request") if receipt.step == Step.REPEATED else None
        row |= {"same_as": same, "done": same and receipt.inputs.get("publication")}
        if receipt.step == Step.VERIFIED:
            row |= {"verdict": receipt.outcome, "grade": (receipt.verdict or {}).get("grade")}
        if receipt.verdict is None or "reasons" in receipt.verdict:  # a refusal that was overcome is no reason any more
            row["reasons"] = (receipt.verdict or {}).get("reasons", [])
        if receipt.step == Step.GATED and receipt.verdict and receipt.outcome != "open":
            row |= {"state": "rejected", "reasons": row["reasons"] or receipt.verdict["failed"]}
    return list(orders.values())


def _met(row: dict[str, Any], published: Sequence[Receipt]) -> str | None:
    """Return when the request was first published on its line.

    It was by its own text, by another one that came after it, or by the request that it repeats.
    """
    last, first = row.pop("last"), row.pop("done", None)
    own = [receipt.at for receipt in published if receipt.inputs.get("policy") == row["policy"]]
    later = [one.at for one in published if one.request_id == row["request_id"] and one.sequence > last]
    return next(iter(own + later + [one.at for one in published if one.digest == first]), None)


def _told(
    home: Path, row: dict[str, Any], standing: Standing | None, done: str | None, now: datetime
) -> dict[str, Any]:
    """Return a request with its deadlines, and what came of it since; `done` says when it was first published.

    Another may have taken its place, or what it published may be suspect.
    """
    by, since = standing and standing.replaced.get(row["request_id"]), row.pop("first")
    if by and since < by.sequence:
        replaced = {"state": "replaced", "reasons": [f"by {by.request_id}"]}
        return row | _clock(home, row, done or by.at, now) | UNPROVEN | replaced
    if standing and row["same_as"] and (by := standing.replaced.get(row["same_as"])):
        replaced = {"state": "replaced", "reasons": [f"by {by.request_id}, as {row['same_as']}, which asked the same"]}
        return row | _clock(home, row, done, now) | UNPROVEN | replaced
    if row["state"] not in ("published", "repeated") or standing is None:
        return row | _clock(home, row, done, now) | UNPROVEN
    due, check = standing.proof_due, standing.proof.check
    again = {"proof_due": due and due.isoformat(), "proof_late": due and due < now, "checked": check and check.at}
    state = {"state": "suspect", "reasons": standing.doubts} if standing.doubts else {}
    if standing.restored and row["receipt"] == standing.proof.publication.digest:
        state = {"state": "restored"}
    return row | _clock(home, row, done, now) | again | state


def _clock(home: Path, row: dict[str, Any], done: str | None, now: datetime) -> dict[str, Any]:
    """Return the deadlines of a request.

    A status is for all requests, so one whose policy was lost is among them and does not end it.
    """
    try:
        policy = kept_policy(home, row["policy"])
    except IntegrityError:
        return {"due": None, "late": None, "policy_kept": False, "replaces": None}
    due, at = due_at(policy), datetime.fromisoformat(done) if done else now
    told = {"due": due and due.isoformat(), "late": due and at > due, "policy_kept": True}
    return told | {"replaces": list(policy.replaces)}


def elsewhere(home: Path, ledger: Ledger, request_id: str) -> dict[str, list[str]]:
    """Return what is in force on other lines, by line, as long as no other request was published on this one.

    None of it holds for a base that has another digest, were it the same model with another README.
    """
    if {receipt.request_id for receipt in of_step(ledger.chain, Step.PUBLISHED)} - {request_id}:
        return {}
    chains, _ = read(home, without=ledger.line)
    others = {other: Standing.by(home, own) for other, own in chains.items()}
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
