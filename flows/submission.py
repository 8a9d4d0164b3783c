"""Submission: what is already done is not done again, what is missing runs as a flow."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from expunge.flows.publish import publish
from expunge.flows.takedown import takedown
from expunge.policies import Policy, parse
from expunge.tasks.catch_up import catch_up
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import verdict_of
from expunge.tasks.intake import note_repeated, repeated
from expunge.tasks.ledger.case import Case, reopen_case
from expunge.tasks.ledger.decisions.question import last_answer, open_question
from expunge.tasks.ledger.decisions.record import people_of
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.queries import line_of, publication_in
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.preflight import prefect_staying, secured
from expunge.tasks.publish import still_in_place
from expunge.tasks.storage.record.fetching import fetch_if_possible
from expunge.tasks.tracking.runs import recorded_run
from expunge.tasks.views.outcome import outcome, waiting_outcome


def submit(path: Path, policy: Policy, settings: Settings) -> dict[str, Any]:
    """Run the takedown flow for a policy file, unless its work is done; returns what came of it.

    Where people decide that is a question to them, or its publication if one of them has approved it already.

    Raises what the flow raises: a refusal, a verdict that is not PASS, or a service that does not answer.
    IntegrityError if the file says something else than `policy` when its turn comes.
    """
    data = path.read_bytes()
    if parse(data, str(path)).digest != policy.digest:
        raise IntegrityError(f"{path.name} changed since it was read: submit it again")
    fetch_if_possible(settings)
    with secured(line_of(policy, settings.home), settings) as ledger:
        return _submit(path, data, policy, ledger, settings)


def _submit(path: Path, data: bytes, policy: Policy, ledger: Ledger, settings: Settings) -> dict[str, Any]:
    receipt = publication_in(ledger.chain, policy.digest)
    if receipt is not None and (done := _done(receipt, ledger, settings)):
        return outcome(done, receipt, repeated=True)
    first = repeated(policy, ledger, settings.home)
    if first is not None and (done := _done(first, ledger, settings)):
        note_repeated(policy, data, settings.home, first, ledger)
        return outcome(done, first, repeated=True) | {"request_id": policy.request_id, "same_as": first.request_id}
    with prefect_staying(settings.prefect_api_url):
        case = takedown(path.absolute(), hashlib.sha256(data).hexdigest(), settings.home)
        asked = open_question(case.chain, policy.request_id)
        if asked and last_answer(case.chain, asked):
            case, asked = publish(policy.request_id, ledger.line, settings.home), None
    if asked:
        return waiting_outcome(case, asked, people_of(settings.home, case.chain, asked))
    receipt = publication_in(case.chain, policy.digest)
    assert receipt is not None, "the flow ended well, so the publication is on record"
    return outcome(case, receipt, repeated=False)


def _done(receipt: Receipt, ledger: Ledger, settings: Settings) -> Case | None:
    """Return the case of what was published, if all of it is still as it should be.

    That is so if the home has the work, S3 serves what the line came to, and MLflow has both. What MLflow
    lacks is entered here.
    """
    case = None
    with suppress(IntegrityError, NothingOnRecord, FileNotFoundError):  # what is lost the flow makes again
        case = reopen_case(receipt.work, settings, ledger)
    if case is None or not (_is_in_force(receipt, case) and still_in_place(ledger, settings)):
        return None
    with suppress(IntegrityError, NothingOnRecord, FileNotFoundError):
        if not case.order.desired.restores:
            verdict_of(case.order)
        catch_up(ledger, settings)
        return case if recorded_run(settings, receipt.digest) else None
    return None


def _is_in_force(receipt: Receipt, case: Case) -> bool:
    """Return whether no other request has taken the place of what this receipt published.

    False too where a published policy is lost: the flow must run then, which restores it from the file that was handed
    in, or refuses another.
    """
    status = case.status
    return status is not None and not status.lost and receipt.request_id not in status.replaced
