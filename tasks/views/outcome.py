"""The outcome of a finished work order, as data: the same for terminal, `--json` and a repeated submission."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.connection import without_password
from expunge.tasks.core.errors import EXIT_CODE_OF
from expunge.tasks.core.paths import EVIDENCE, REPORT, VERDICT
from expunge.tasks.core.work_order import Order, Ref, verdict_of
from expunge.tasks.evidence.examination import examination
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.decisions.question import Deciders
from expunge.tasks.ledger.decisions.record import NotApproved, how_to_decide
from expunge.tasks.ledger.queries import elsewhere
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.storage.bundle_store import bundle_uri
from expunge.tasks.storage.pointer import pointer_uri
from expunge.tasks.tracking.runs import page_of
from expunge.tasks.views.findings import Findings
from expunge.tasks.views.sentences import headline, sentences


def outcome(case: Case, published: Receipt, repeated: bool) -> dict[str, Any]:
    """Return verdict, figures by concept, and where everything lies, of an order that this receipt published.

    Where the base is published (`restored`), or was by this order, there is neither verdict nor report. The bundle is
    what the line serves: where the order's own is `superseded`, one that was made for it and for later requests.
    `same_as` has the id of another request, where that one asked the same first.
    """
    order, settings, status = case.order, case.settings, case.status
    assert status is not None, "the order was published"
    verdict = None if status.restored or order.desired.restores else verdict_of(order)
    doubts = status.proof.doubts
    return {
        "request_id": order.request_id,
        "repeated": repeated,
        "same_as": None,
        "restored": status.restored,
        "verdict": verdict and verdict.outcome.value,
        "grade": verdict and verdict.grade,
        "suspect": doubts,
        "exit_code": EXIT_CODE_OF["FAIL"] if doubts else 0,
        **(in_words(order, verdict) if verdict else {"headline": None, "sentences": []}),
        "concepts": figures(order, verdict) if verdict else [],
        "bundle": bundle_uri(status.proof.bundle, settings),
        "superseded": published.outputs["bundle"] != status.proof.bundle,
        "pointer": pointer_uri(order.line, settings),
        "mlflow": page_of(settings, published.digest),
        "prefect": without_password(settings.prefect_api_url).removesuffix("/api"),
        "report": str(order.folder / REPORT) if verdict else None,
        "elsewhere": elsewhere(order.home, case.ledger, order.request_id),
        "work": order.key,
    }


def waiting_outcome(case: Case, asked: Receipt, people: Deciders) -> dict[str, Any]:
    """Return what a request came to that waits for people to decide: its verdict, and who may decide and how."""
    order = case.order
    verdict = None if order.desired.restores else verdict_of(order)
    return {
        "request_id": order.request_id,
        "state": "awaiting_approval",
        "asked_at": asked.at,
        "approvers": sorted(people.approvers),
        "how": how_to_decide(order.request_id, people),
        "verdict": verdict and verdict.outcome.value,
        "grade": verdict and verdict.grade,
        "exit_code": NotApproved.exit_code,
        **(in_words(order, verdict) if verdict else {"headline": None, "sentences": []}),
        "concepts": figures(order, verdict) if verdict else [],
        "bundle": asked.inputs["bundle"],
        "report": str(order.folder / REPORT) if verdict else None,
        "work": order.key,
    }


def examined(order: Order, verdict: Ref, model: str, bundle: str, folder: Path) -> dict[str, Any]:
    """Return what the examination of a given model came to; its evidence, verdict and report are in `folder`."""
    known = Verdict.load(verdict.path)
    return {
        "request_id": order.request_id,
        "verdict": known.outcome.value,
        "grade": known.grade,
        "exit_code": EXIT_CODE_OF[known.outcome.value],
        "reasons": [reason.message for reason in known.reasons],
        "level": examination(order).level.name,
        "pictures": known.evaluated,
        "unread": [question.shot.prompt for question in examination(order).unread],
        **in_words(order, known),
        "concepts": figures(order, known),
        "model": model,
        "bundle": bundle,
        "base": order.base,
        "judge": order.judge,
        "evidence": str(folder / EVIDENCE),
        "work": order.key,
        "verdict_file": str(folder / VERDICT),
        "report": str(folder / REPORT),
    }


def in_words(order: Order, verdict: Verdict) -> dict[str, Any]:
    """Return the verdict in one sentence, and one for each bound with its limit."""
    found = Findings.of(verdict, examination(order).names)
    return {"headline": headline(verdict, found), "sentences": sentences(found)}


def figures(order: Order, verdict: Verdict) -> list[dict[str, Any]]:
    """Return a row for each target, attack and kept group: rates before and after, the bound and any limit."""
    found = Findings.of(verdict, examination(order).names)
    gone = [
        {
            "name": f"{row.name} by {row.probe}" if row.probe else row.name,
            "role": role,
            "before": row.rate.before,
            "after": row.rate.rate,
            "bound": row.rate.upper,
            "limit": row.limit if row.decides else None,
        }
        for role, rows in (("erased", (*found.targets, *found.probes)), ("attacked", found.attacks))
        for row in rows
    ]
    kept = [
        {
            "name": row.concept,
            "role": "kept",
            "before": row.drop.before,
            "after": row.drop.after,
            "bound": row.drop.upper,
            "limit": row.limit,
        }
        for row in found.groups
    ]
    return gone + kept
