"""Decisions by people: what waits for one, and how it is given. Commands and the desk call these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from expunge.flows.casework.notices import refuse_no_home
from expunge.flows.casework.wording import checked, refuse_address
from expunge.tasks.core.errors import IntegrityError, UsageError
from expunge.tasks.core.paths import REPORT, work_folder
from expunge.tasks.ledger import queries
from expunge.tasks.ledger.decisions import record
from expunge.tasks.ledger.decisions.question import last_answer, open_questions
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.storage.record.appending import append_for_all
from expunge.tasks.views.letters.facts import on_record
from expunge.tasks.views.question_words import NO_WORDS, question_words


def waiting(home: Path) -> list[dict[str, Any]]:
    """Return one row for each request that waits for a decision, or for its publication after one.

    `problem` says why nobody can decide on it now; "" where somebody can.
    """
    refuse_no_home(home)
    chains, _ = queries.read(home)
    dues = {row["receipt"]: row["due"] for row in queries.states_in(home, chains)}
    return [_row(home, chain, asked, dues) for chain in chains.values() for asked in open_questions(chain)]


def approve(home: Path, request_id: str, key: Path, line: str = "", person: str = "") -> dict[str, Any]:
    """Put the approval of the person with this private key on record; nothing is published by that alone.

    Raises NothingOnRecord if the request does not wait, and NotApproved if this person may not decide on it.
    """
    return _decided(home, lambda: record.approve(home, request_id, key, line, person))


def refuse(home: Path, request_id: str, reason: str, key: Path, line: str = "", person: str = "") -> dict[str, Any]:
    """Put the refusal of the person with this private key on record, with its reason; it ends the request.

    Raises what `approve` raises, and UsageError on a reason that says nothing, or what no record may hold.
    """

    def act() -> Receipt:
        name = record.line_of_question(home, request_id, line)
        checked("--reason", reason, on_record(home, request_id, name))
        refuse_address("--reason", reason)
        return record.refuse(home, request_id, reason, key, name, person)

    return _decided(home, act)


def _row(home: Path, chain: Sequence[Receipt], asked: Receipt, dues: dict[str, Any]) -> dict[str, Any]:
    answer, said = last_answer(chain, asked), asked.verdict or {}
    approvers, problem = said.get("approvers", []), ""
    try:
        approvers = sorted(record.people_of(home, chain, asked).approvers)
    except (record.NotApproved, IntegrityError, UsageError) as error:
        problem = str(error)
    try:
        words = question_words(home, asked)
    except IntegrityError as error:
        words, problem = NO_WORDS, problem or str(error)
    report = work_folder(home, asked.work) / REPORT
    return {
        "request_id": asked.request_id,
        "line": asked.line,
        "state": "approved" if answer else "awaiting_approval",
        "asked_at": asked.at,
        "asked_by": asked.who,
        "due": dues.get((answer or asked).digest),
        "approvers": approvers,
        "hours": said.get("hours"),
        "approved_by": answer and (answer.verdict or {}).get("by"),
        "expires": answer and (answer.verdict or {}).get("expires"),
        "policy": asked.inputs["policy"],
        "bundle": asked.inputs["bundle"],
        "verdict": asked.inputs.get("verdict"),
        **words,
        "report": str(report) if report.exists() else None,
        "work": asked.work,
        "receipt": asked.digest,
        "problem": problem,
    }


def _decided(home: Path, decide: Callable[[], Receipt]) -> dict[str, Any]:
    def act() -> Receipt:
        refuse_no_home(home)
        return decide()

    receipt = append_for_all(home, act)
    said = receipt.verdict or {}
    return {
        "request_id": receipt.request_id,
        "line": receipt.line,
        "state": "approved" if "approval" in receipt.inputs else "rejected",
        "by": said["by"],
        "at": receipt.at,
        "expires": said.get("expires"),
        "reason": said.get("reason"),
        "bundle": receipt.inputs["bundle"],
        "policy": receipt.inputs["policy"],
        "receipt": receipt.digest,
        "work": receipt.work,
    }
