"""Whether an approval counts: for which question it is, who signed it, and that it holds and was never used before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from expunge.tasks.ledger.decisions.envelope import Decision, kept_decision, open_decision, registered_keys
from expunge.tasks.ledger.decisions.question import Deciders
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.ledger.signatures.signing import is_signed_by

BY_SUBMITTER = (
    *(Step.RECEIVED, Step.READ, Step.PLANNED, Step.ERASED, Step.ATTEMPTED, Step.VERIFIED, Step.GATED),
    *(Step.BUNDLED, Step.AWAITING),
)
"""The steps of a request that who handed it in takes, and by whose key their receipts are signed."""


def refusal_of(
    home: Path, chain: Sequence[Receipt], asked: Receipt, answer: Receipt | None, deciders: Deciders, at: datetime
) -> str:
    """Say why the answer on record allows no publication at this moment; "" if it does.

    Args:
        home: the home.
        chain: the receipts before the publication; those of a notice with the request's id may be among them.
        asked: the receipt of the question.
        answer: the receipt of the approval, None if there is none.
        deciders: who may approve.
        at: the moment of the publication.
    """
    if answer is None:
        return "nobody has approved it"
    if not (digest := answer.inputs.get("approval")):
        return "the receipt of its approval names none"
    signed = kept_decision(home, digest)
    try:
        decision = open_decision(signed, registered_keys(deciders.approvers))
    except ValueError as error:
        return f"the approval {error}"
    given = datetime.fromisoformat(answer.at)
    found = [*_unlike(decision, asked), *_untimely(decision, deciders, given, at)]
    if problem := own_request(home, chain, asked, decision.by, deciders):
        found.append(problem)
    if digest in {one.inputs.get("approval") for one in of_step(chain, Step.PUBLISHED)}:
        found.append("the approval was used for an earlier publication")
    return "; ".join(found)


def own_request(home: Path, chain: Sequence[Receipt], asked: Receipt, name: str, deciders: Deciders) -> str:
    """Say how this person handed in the request, and so cannot decide on it; "" if another one did."""
    key = registered_keys(deciders.approvers)[name]
    for receipt in of_step(chain, *BY_SUBMITTER):
        if receipt.request_id != asked.request_id:
            continue
        if receipt.who.casefold() == name.casefold() or is_signed_by(home, receipt, key):
            return f"{name} handed in the request ({receipt.step}), and nobody decides on a request of their own"
    return ""


def _unlike(decision: Decision, asked: Receipt) -> Iterator[str]:
    """Say what the decision is on, where that is not the question."""
    if decision.outcome != "approved":
        yield "the decision is no approval"
    wanted = {
        "line": asked.line,
        "request_id": asked.request_id,
        "policy": asked.inputs["policy"],
        "bundle": asked.inputs["bundle"],
        "nonce": asked.digest,
    }
    for name, value in wanted.items():
        if (found := getattr(decision, name)) != value:
            yield f"the approval is for the {name} {found}, asked for was {value}"


def _untimely(decision: Decision, deciders: Deciders, given: datetime, at: datetime) -> Iterator[str]:
    if decision.expires <= at:
        yield f"the approval expired at {decision.expires.isoformat()}"
    if decision.expires > given + timedelta(hours=deciders.hours):
        yield f"the approval is to hold longer than the {deciders.hours} hours that the floor allows"
