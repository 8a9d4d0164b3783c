"""The approval of a publication: where a floor on record asked for one, it must have counted when it was published."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from expunge.tasks.core.errors import IntegrityError, LedgerError, UsageError
from expunge.tasks.ledger.decisions.counters import Countered, open_counters, rescissions
from expunge.tasks.ledger.decisions.expiry import GRACE
from expunge.tasks.ledger.decisions.question import deciders_on_record, last_answer, open_question
from expunge.tasks.ledger.decisions.record import notices_of, with_notices
from expunge.tasks.ledger.decisions.stopping import refuse_countered
from expunge.tasks.ledger.decisions.validity import refusal_of
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Receipt, Step, is_older, named

FIRST_WITH_FLOORS = "0.20.0"
HELD = (Step.AWAITING, Step.PUBLISHED, Step.CHECKED)
"""The steps that are held to a floor, and say to which."""


def floors_in(receipts: Sequence[Receipt]) -> list[str]:
    """Return the digests of the floors that these receipts name, in order."""
    return list(dict.fromkeys(one.inputs["floor"] for one in receipts if "floor" in one.inputs))


def foreign_floor(receipt: Receipt, accepted: Collection[str]) -> Iterator[str]:
    """Say where a receipt rests on a floor, and so on approvers, that the auditor does not accept; or on none."""
    floor = receipt.inputs.get("floor")
    if accepted and receipt.step in HELD and floor not in accepted:
        yield f"{named(receipt)}: {f'its floor {floor} is none of those accepted' if floor else 'it names no floor'}"


def unapproved(home: Path, published: Receipt, before: Sequence[Receipt]) -> Iterator[str]:
    """Say how a publication for which a floor asked for an approval rests on none that counts.

    What is lost of policies, floors and decisions is told for itself.
    """
    try:
        problem = _problem(home, published, before)
    except (IntegrityError, LedgerError, UsageError, KeyError) as error:
        problem = f"nobody can tell whether it was approved: {error}"
    if problem:
        yield f"{named(published)}: {problem}"


def countered(home: Path, published: Receipt, before: Sequence[Receipt]) -> Iterator[str]:
    """Say where a counter-notice was on record when a request was published for which it came in."""
    try:
        notices = _notices_before(home, published)
        if not (open_counters(notices) or rescissions(notices)):
            return
        refuse_countered(home, kept_policy(home, published.inputs.get("policy", "")), before, notices)
    except Countered as error:
        yield f"{named(published)}: nothing should have been published, for it was on record that {error}"
    except LedgerError as error:
        yield f"{named(published)}: nobody can tell whether a counter-notice was on record: {error}"
    except IntegrityError:
        return  # the policy is lost, which is told for itself


def _notices_before(home: Path, published: Receipt) -> list[Receipt]:
    """Return the receipts of the notices that were on record at the last look before a publication."""
    at = datetime.fromisoformat(published.at) - GRACE
    return [one for one in notices_of(home) if datetime.fromisoformat(one.at) <= at]


def _problem(home: Path, published: Receipt, before: Sequence[Receipt]) -> str:
    if "floor" not in published.inputs:
        if is_older(published, FIRST_WITH_FLOORS) and not floors_in(before):
            return ""
        return "it names no floor, so nobody can tell whether a person had to approve it"
    policy = kept_policy(home, published.inputs.get("policy", ""))
    people = deciders_on_record(home, before, policy, _notices_before(home, published))
    if people is None:
        return "" if "approval" not in published.inputs else "it names an approval, and no floor on record asked"
    asked = open_question(before, published.request_id)
    if asked is None or asked.inputs["bundle"] != published.outputs.get("bundle"):
        return "the floor asks for an approval, and nobody was asked about this bundle"
    answer = last_answer(before, asked)
    if answer and answer.inputs.get("approval") != published.inputs.get("approval"):
        return "it does not name the approval that was given"
    at = datetime.fromisoformat(published.at) - GRACE
    problem = refusal_of(home, with_notices(home, before), asked, answer, people, at)
    return f"it rests on no approval that counts: {problem}" if problem else ""
