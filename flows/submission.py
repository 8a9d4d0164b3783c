"""Submission: what is already done is not done again, what is missing runs as a flow."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from expunge.flows.takedown import takedown
from expunge.policies import Policy, parse
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order, verdict_of
from expunge.tasks.intake import note_repeated, repeated
from expunge.tasks.ledger.ledger import Receipt
from expunge.tasks.ledger.line_status import Standing
from expunge.tasks.ledger.queries import line_of, publication
from expunge.tasks.preflight import prefect_staying, secured
from expunge.tasks.publish import still_in_place
from expunge.tasks.reverify import catch_up
from expunge.tasks.tracking.runs import recorded_run
from expunge.tasks.views.outcome import outcome


def submit(path: Path, policy: Policy, settings: Settings) -> dict[str, Any]:
    """Run the takedown flow for a policy file, unless its work is done; returns what came of it.

    Raises what the flow raises: a refusal, a verdict that is not PASS, or a service that does not answer.
    IntegrityError if the file says something else than `policy` when its turn comes.
    """
    data = path.read_bytes()
    if parse(data, str(path)).digest != policy.digest:
        raise IntegrityError(f"{path.name} changed since it was read: submit it again")
    with secured(line_of(policy, settings.home), settings):
        return _submit(path, data, policy, settings)


def _submit(path: Path, data: bytes, policy: Policy, settings: Settings) -> dict[str, Any]:
    line = line_of(policy, settings.home)
    receipt = publication(settings.home, line, policy.digest)
    if receipt is not None and _is_done(receipt, settings):
        order = Order.load(settings.home, receipt.work)
        return outcome(order, settings, receipt, repeated=True)
    if (first := repeated(policy, settings.home)) and _is_done(first, settings):
        note_repeated(policy, data, settings.home, first)
        known = outcome(Order.load(settings.home, first.work), settings, first, repeated=True)
        return known | {"request_id": policy.request_id, "same_as": first.request_id}
    with prefect_staying(settings.prefect_api_url):
        key = takedown(path.absolute(), hashlib.sha256(data).hexdigest(), settings.home)
    receipt = publication(settings.home, line, policy.digest)
    assert receipt is not None, "the flow ended well, so the publication is on record"
    return outcome(Order.load(settings.home, key), settings, receipt, repeated=False)


def _is_done(receipt: Receipt, settings: Settings) -> bool:
    """Whether the home has the work, S3 serves what the line came to, and MLflow has heard of both; it is told here if
    it has not."""
    kept = Order.is_kept(settings.home, receipt.work)
    if not (kept and _is_in_force(receipt, settings) and still_in_place(receipt.line, settings)):
        return False
    with suppress(IntegrityError, NothingOnRecord, FileNotFoundError):  # what is lost the flow makes again
        order = Order.load(settings.home, receipt.work)
        if not order.desired.restores:
            verdict_of(order)
        catch_up(receipt.line, settings)
        return recorded_run(settings, receipt.digest) is not None
    return False


def _is_in_force(receipt: Receipt, settings: Settings) -> bool:
    """Whether no other request has taken the place of what this receipt published. False too where a published policy
    is lost: the flow must run then, which restores it from the file that was handed in, or refuses another."""
    standing = Standing.of(settings.home, receipt.line)
    return standing is not None and not standing.lost and receipt.request_id not in standing.replaced
