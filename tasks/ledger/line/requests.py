"""The state of each request, from the receipts of its line and the policies that they name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from expunge.policies import Policy
from expunge.policies.merge.expiry import end_in_words
from expunge.policies.model.deadlines import due_at
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.receipt import Receipt, Step, of_step

STATES = {
    Step.READ: "accepted",
    Step.PLANNED: "planned",
    Step.ERASED: "erased",
    Step.ATTEMPTED: "attempted",
    Step.VERIFIED: "verified",
    Step.GATED: "gated",
    Step.RETURNED: "gated",
    Step.BUNDLED: "validated",
    Step.AWAITING: "awaiting_approval",
    Step.APPROVED: "approved",
    Step.PUBLISHED: "published",
    Step.REFUSED: "rejected",
    Step.REPEATED: "repeated",
}

OPEN: Mapping[str, str] = {Step.GATED: "open", Step.RETURNED: "PASS"}
"""What lets a request go on at the steps that can end it."""
WAS_PUBLISHED = ("published", "repeated", "replaced", "restored", "suspect")
"""States of a request of which something was published."""
NO_END = {"expires": None, "ends": ""}
UNPROVEN = {"checked": None, "proof_due": None, "proof_late": None}


def states_of(
    chains: Mapping[str, Sequence[Receipt]],
    policies: Mapping[str, Policy],
    lost: Mapping[str, str],
    policy: str | None = None,
    now: datetime | None = None,
) -> list[dict[str, Any]]:
    """Return the state of every work order and of every policy that was turned away, the latest last.

    `policies` are by digest those that the receipts name, and `lost` says in words which are missing. With `policy`, a
    policy's digest, the states are only its own. Work that came to nothing is left out where the same policy
    was taken up again since.

    `reasons` say why a request was refused, or what its last verdict rests on. `due` is the moment by which the law
    wants it published, and `late` whether it was not by then, or is not `now`; None where no law names one, or where
    the policy is not kept as it was received (`policy_kept`), so that it cannot be known. `decided_by` is the person
    who approved or refused it. `same_as` is the request by which a `repeated` one is in force. What is published is
    proven again until `proof_due`, and is `suspect`, with the reasons, if the last check did not prove it; or it is
    `replaced` by the request that the reasons name, as others are that it `replaces`. What withdrew the last of them is
    `restored` as long as the base itself is published. `expires` is the end that its policy names; `ends` says in words
    in how many days, or that it expired, as long as nothing took its place.
    """
    now = now or datetime.now(UTC)
    statuses = {line: LineStatus.among(own, policies, lost) for line, own in chains.items()}
    orders, published = _orders(chains), {line: of_step(own, Step.PUBLISHED) for line, own in chains.items()}
    last = {row["policy"]: row["work"] for row in orders}
    return [
        _described(
            policies.get(row["policy"]), row, statuses[row["line"]], _first_published(row, published[row["line"]]), now
        )
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
        unknown = {"policy": "", "same_as": None, "verdict": None, "grade": None, "reasons": [], "decided_by": None}
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
        row["decided_by"] = (receipt.verdict or {}).get("by")
        if receipt.verdict is None or "reasons" in receipt.verdict:  # a refusal that was overcome is no reason any more
            row["reasons"] = (receipt.verdict or {}).get("reasons", [])
        if receipt.verdict and receipt.outcome != OPEN.get(receipt.step, receipt.outcome):
            row |= {"state": "rejected", "reasons": row["reasons"] or receipt.verdict["failed"]}
    return list(orders.values())


def _first_published(row: dict[str, Any], published: Sequence[Receipt]) -> str | None:
    """Return when the request was first published on its line.

    It was by its own text, by another one that came after it, or by the request that it repeats.
    """
    last, first = row.pop("last"), row.pop("done", None)
    own = [receipt.at for receipt in published if receipt.inputs.get("policy") == row["policy"]]
    later = [one.at for one in published if one.request_id == row["request_id"] and one.sequence > last]
    return next(iter(own + later + [one.at for one in published if one.digest == first]), None)


def _described(
    policy: Policy | None, row: dict[str, Any], status: LineStatus | None, done: str | None, now: datetime
) -> dict[str, Any]:
    """Return a request with its deadlines, and what came of it since; `done` says when it was first published.

    Another may have taken its place, or what it published may be suspect.
    """
    by, since = status and status.replaced.get(row["request_id"]), row.pop("first")
    if by and since < by.sequence:
        replaced = {"state": "replaced", "reasons": [f"by {by.request_id}"], "same_as": None, "ends": ""}
        return row | _clock(policy, done or by.at, now) | UNPROVEN | replaced
    if status and row["same_as"] and (by := status.replaced.get(row["same_as"])):
        reasons = [f"by {by.request_id}, as {row['same_as']}, which asked the same"]
        replaced = {"state": "replaced", "reasons": reasons}
        return row | _clock(policy, done, now) | UNPROVEN | replaced
    if row["state"] not in ("published", "repeated") or status is None:
        return row | _clock(policy, done, now) | UNPROVEN
    due, check = status.proof_due, status.proof.check
    again = {"proof_due": due and due.isoformat(), "proof_late": due and due < now, "checked": check and check.at}
    state = {"state": "suspect", "reasons": status.doubts} if status.doubts else {}
    if status.restored and row["receipt"] == status.proof.publication.digest:
        state = {"state": "restored"}
    return row | _clock(policy, done, now) | again | state


def _clock(policy: Policy | None, done: str | None, now: datetime) -> dict[str, Any]:
    """Return the deadlines of a request.

    A status is for all requests, so one whose policy was lost is among them and does not end it.
    """
    if policy is None:
        return {"due": None, "late": None, "policy_kept": False, "replaces": None} | NO_END
    due, at = due_at(policy), datetime.fromisoformat(done) if done else now
    return {
        "due": due and due.isoformat(),
        "late": due and at > due,
        "policy_kept": True,
        "replaces": list(policy.replaces),
        "expires": policy.expires_at and policy.expires_at.isoformat(),
        "ends": end_in_words(policy, now),
    }
