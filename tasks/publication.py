"""The last steps of a work order: gate, report, publish, record. Each leaves a receipt, a page or a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from prefect import task
from prefect.cache_policies import NO_CACHE

import engine
from engine import evidence
from engine.bundle import MANIFEST
from engine.digests import file_digest
from engine.results import Verdict
from tasks.budget import spent
from tasks.edit import remove_candidate
from tasks.errors import IntegrityError, VerdictNotPassed
from tasks.gate import GateResult, Terms, gate
from tasks.history import publications
from tasks.intake import load_state
from tasks.journal import journal, note
from tasks.kept import kept_policy, published_policies
from tasks.metrics import metrics
from tasks.order import Order, Ref
from tasks.proof import suspect
from tasks.publish import approved, bundle_uri, check_successor, is_published, publish_bundle
from tasks.quality import FILE, read_quality
from tasks.questions import examination
from tasks.receipts import Step, of_step
from tasks.record import (
    LONGEST_VALUE,
    STATE_TAG,
    RunRecord,
    check_experiment,
    record,
    register,
    supersede,
    withdraw,
)
from tasks.report import write_report
from tasks.settings import Settings
from tasks.translate import sampler
from tasks.trials import trials_file

PERSONAL = {"ncii", "privacy_erasure"}
"""Kinds of requests by which a person is to be seen no more."""


@dataclass(frozen=True)
class Gated:
    """Whether the gate stayed shut, what it doubts, and the digest of the receipt that says so."""

    shut: bool
    failed: tuple[str, ...]
    receipt: str


@dataclass(frozen=True)
class Release:
    """A published bundle: its digest, where it lies, and the digest of the receipt that says so."""

    bundle: str
    uri: str
    receipt: str


@task(name="gate", cache_policy=NO_CACHE)
def gate_task(order: Order, table: Ref, verdict: Ref) -> Gated:
    """Its receipt says whether it opened, and what it doubts if not."""
    result = examined(order, table, verdict)
    inputs = {"evidence": table.sha256, "verdict": verdict.sha256}
    opened = {"outcome": "open" if result.passed else "shut", "failed": list(result.failed_expectations)}
    receipt = note(order, Step.GATED, inputs, outputs={}, verdict=opened)
    return Gated(not result.passed, tuple(result.failed_expectations), receipt.digest)


def examined(order: Order, table: Ref, verdict: Ref) -> GateResult:
    """Great Expectations over evidence and verdict; its Data Docs are kept in `gate/data_docs`."""
    exam, frame = examination(order), evidence.read(table.path)
    terms = Terms(exam.rows(frame), exam.acceptance, exam.plan, exam.judge, exam.names)
    return gate(frame, terms, Verdict.load(verdict.path), order.folder / "gate")


def refuse(verdict: Ref, gate: Gated) -> NoReturn:
    """Raise what ends the flow as Failed; the gate's own doubts count as much as the verdict's."""
    known = Verdict.load(verdict.path)
    outcome = known.outcome.value if known.reasons else "ERROR"
    reasons = [reason.message for reason in known.reasons] or [f"the gate doubts the verdict: {', '.join(gate.failed)}"]
    raise VerdictNotPassed(outcome, "\n  ".join([f"{outcome}, nothing was published:", *reasons]))


@task(name="look at the line", cache_policy=NO_CACHE)
def follow_task(order: Order) -> None:
    """IntegrityError before any work is done if it could not be published: the line was moved by somebody else;
    ServiceUnreachable if it could not be recorded."""
    settings = Settings.load()
    check_successor(order.line, approved(order.line, settings), _predecessors(order))
    check_experiment(settings)


def _predecessors(order: Order) -> set[str]:
    """The bundles that may be approved when this order's takes their place: the one published last, and those that this
    policy came to, in whatever version, and whose receipt is missing: a crash came between pointer and receipt."""
    steps = journal(order.home, order.line).receipts()
    works = {read.work for read in of_step(steps, Step.READ) if read.inputs["policy"] == order.policy}
    own = {made.outputs["bundle"] for made in of_step(steps, Step.BUNDLED) if made.work in works}
    recorded = {done.outputs["bundle"] for done in of_step(steps, Step.PUBLISHED) if done.work in works}
    return {order.follows, *(own - recorded)}


@task(name="publish", cache_policy=NO_CACHE)
def publish_task(order: Order, bundle: str, verdict: Ref | None = None) -> Release:
    """Content first, pointer last; the receipt names the policy, which is in force from here on.

    Without a verdict the base itself is published.
    """
    folder = order.folder / "bundle"
    if file_digest(folder / MANIFEST) != bundle:
        raise IntegrityError(f"{folder} is no longer bundle {bundle}: submit the policy again")
    settings = Settings.load()
    publish_bundle(folder, order.line, settings, _predecessors(order))
    inputs = {"policy": order.policy, "state": order.state, **({"verdict": verdict.sha256} if verdict else {})}
    receipt = note(order, Step.PUBLISHED, inputs, outputs={"bundle": bundle})
    remove_candidate(order)  # the bundle has it
    return Release(bundle, bundle_uri(bundle, settings), receipt.digest)


@task(name="write the report", cache_policy=NO_CACHE)
def report_task(order: Order, candidate: str, verdict: Ref, table: Ref) -> Ref:
    return Ref.of(write_report(order, candidate, verdict, table))


@task(name="record in MLflow", cache_policy=NO_CACHE)
def record_task(order: Order, verdict: Ref, table: Ref, receipt: str, release: Release | None) -> str:
    """Index the order in MLflow under its last receipt, a released bundle in the registry too; returns the run id."""
    reached = Verdict.load(verdict.path)
    if release:
        return enter_edit(order, reached, table.path, release)
    return record(Settings.load(), run_record(order, reached, table.path, receipt, "none", "rejected"))


def enter_edit(order: Order, verdict: Verdict, table: Path, release: Release) -> str:
    """The run of a published edit and its place in the registry; returns the run id."""
    return enter(order, run_record(order, verdict, table, release.receipt, release.bundle, "published"), release)


def enter(order: Order, what: RunRecord, release: Release) -> str:
    """The run of a publication and its place in the registry; returns the run id.

    MLflow hears first of the requests whose place it took: without a run all of this is done again.
    """
    settings = Settings.load()
    supersede(settings, order.line, kept_policy(order.home, order.policy).replaces, order.request_id)
    run = record(settings, what)
    if suspect(order.home, order.line):
        withdraw(settings, order.line)  # the weights are back that a check found wanting
    else:
        register(settings, release.uri, run, order.line, release.bundle)
    return run


def run_record(order: Order, verdict: Verdict, table: Path, receipt: str, bundle: str, outcome: str) -> RunRecord:
    """What MLflow shows of an order that came to this `outcome`; `bundle` is the one that is published, or "none"."""
    quality, _ = read_quality(order.folder)
    tags = {"expunge.verdict": verdict.outcome.value, STATE_TAG: outcome}
    shown = not is_of_a_person(order)
    return RunRecord(
        key=order.key,
        request_id=order.request_id,
        receipt_digest=receipt,
        identity={**identity(order, bundle), **_drawn(order)},
        metrics=metrics(verdict, quality, spent(order.folder)),
        tags=tags | ({"expunge.worst_kept": quality.worst.concept} if quality else {}),
        evidence=table,
        data_docs=order.folder / "gate" / "data_docs",
        contact_sheets=tuple(sorted((order.folder / "sheets").glob("*.png"))) if shown else (),
        report=order.folder / "report.html" if shown else None,
        further=tuple(filter(None, [order.folder / "verdict.json", order.folder / FILE, trials_file(order)])),
    )


def is_of_a_person(order: Order) -> bool:
    """Whether any request that the order is of wants a person kept out of pictures: then none leaves the home."""
    published = published_policies(order.home, journal(order.home, order.line).receipts())
    asked = {policy.request_id: policy.kind for policy in (*published, kept_policy(order.home, order.policy))}
    return not PERSONAL.isdisjoint(asked[request] for request in load_state(order).request_ids)


def identity(order: Order, bundle: str) -> dict[str, str]:
    """By what MLflow tells the work of an order from any other."""
    return {
        "line": order.line,
        "bucket": Settings.load().bucket,
        "policy": order.policy,
        "desired_state": order.state,
        "base": order.base,
        "engine_version": engine.__version__,
        "bundle": bundle,
        **_replacing(order),
    }


def _drawn(order: Order) -> dict[str, str]:
    """What edited, and how its pictures were drawn and judged."""
    state = load_state(order)
    by = sampler(state)
    return {
        "judge": order.judge,
        "editor": state.editor.name,
        "seed": str(state.seed),
        "drawn": f"{by.steps} steps, guidance {by.guidance:g}",
    }


def _replacing(order: Order) -> dict[str, str]:
    """Which requests this one takes the place of, as far as MLflow shows them whole."""
    ids = kept_policy(order.home, order.policy).replaces
    named = ", ".join(ids)
    return {"replaces": named if len(named) <= LONGEST_VALUE else f"{len(ids)} requests"} if ids else {}


def still_in_place(line: str, settings: Settings) -> bool:
    """Whether the line serves what was published on it last, and S3 has all of it."""
    last = publications(settings.home, line)[-1].outputs["bundle"]
    return approved(line, settings) == last and is_published(last, settings)
