"""What follows the end of a policy: every night what has expired is withdrawn, line by line, or people are asked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expunge.flows.casework.notices import draft_file
from expunge.flows.submission import submit
from expunge.policies import Policy, composed_json, expired_in_force, withdrawal_on_expiry
from expunge.tasks.core.errors import IntegrityError, LedgerError, VerdictNotPassed, exit_code_of
from expunge.tasks.core.paths import write_over
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.decisions.question import open_question
from expunge.tasks.ledger.policy_store import published_policies
from expunge.tasks.ledger.queries import states, summary
from expunge.tasks.ledger.receipt import Step, of_step
from expunge.tasks.ledger.recorder import journal


def withdraw_expired(lines: Sequence[str], settings: Settings) -> list[dict[str, Any]]:
    """Withdraw each policy of these lines that has expired, or ask people; returns what was not possible, and why.

    A withdrawal that a person refused, or that waits for one, is not tried again; nor is one that was not proven, of
    which the problem is told until somebody submits it again.
    """
    found = [_withdrawn(policy, line, settings) for line in lines for policy in expired_on(settings.home, line)]
    return [row for row in found if row["exit_code"]]


def expired_on(home: Path, line: str) -> list[Policy]:
    """Return the policies of a line that have expired and are still in force; none where the record cannot tell."""
    with suppress(LedgerError, IntegrityError):  # the check of the line says so
        return expired_in_force(published_policies(home, journal(home, line).receipts()), datetime.now(UTC))
    return []


def _withdrawn(policy: Policy, line: str, settings: Settings) -> dict[str, Any]:
    problem, code = "", 0
    withdrawal = withdrawal_on_expiry(policy)
    try:
        if not _is_decided(withdrawal, line, settings.home):
            write_over(file := draft_file(settings.home, withdrawal.request_id), _text(withdrawal))
            submit(file, withdrawal, settings)
    except Exception as error:
        problem, code = str(error) or type(error).__name__, exit_code_of(error)
    if problem:
        problem = f"{policy.request_id} expired and is not put back: {problem}"
    return {**summary(settings.home, line), "problem": problem, "exit_code": code}


def _is_decided(withdrawal: Policy, line: str, home: Path) -> bool:
    """Return whether a person refused a withdrawal, or it waits for one on what is published now.

    Raises VerdictNotPassed where it was not proven, for another try on the same targets costs confidence.
    """
    chain = journal(home, line).receipts()
    asked = open_question(chain, withdrawal.request_id)
    if asked and not of_step(chain[asked.sequence :], Step.PUBLISHED):
        return True
    row = next(iter(states(home, withdrawal.digest)), None)
    if row is None or row["state"] != "rejected":
        return False
    if row["verdict"] and not row["decided_by"]:
        reasons, file = "; ".join(row["reasons"]), draft_file(home, withdrawal.request_id)
        raise VerdictNotPassed("FAIL", f"{reasons}. Submit {file} once the cause is gone")
    return row["decided_by"] is not None


def _text(policy: Policy) -> bytes:
    """Return the text of a policy's file, the same for the same policy."""
    return composed_json(policy.model_dump(mode="json")) + b"\n"
