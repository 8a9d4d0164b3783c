"""The last steps of a work order: gate, publish, report. Each leaves a receipt or a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from prefect import task
from prefect.cache_policies import NO_CACHE

from engine import evidence
from engine.bundle import MANIFEST
from engine.digests import file_digest
from engine.results import Verdict
from tasks.edit import remove_candidate
from tasks.errors import IntegrityError, VerdictNotPassed
from tasks.gate import GateResult, Terms, gate
from tasks.health import check_room
from tasks.history import publications
from tasks.journal import journal, note
from tasks.order import Order, Ref
from tasks.places import BUNDLE, GATE
from tasks.pointer import approved, check_successor
from tasks.publish import bundle_uri, is_published, publish_bundle
from tasks.questions import examination
from tasks.receipts import Step, of_step
from tasks.record import check_experiment
from tasks.report import write_report
from tasks.settings import Settings
from tasks.vouched import deliver


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
    result = run_gate(order, table, verdict)
    inputs = {"evidence": table.sha256, "verdict": verdict.sha256}
    opened = {"outcome": "open" if result.passed else "shut", "failed": list(result.failed_expectations)}
    receipt = note(order, Step.GATED, inputs, outputs={}, verdict=opened)
    return Gated(not result.passed, tuple(result.failed_expectations), receipt.digest)


def run_gate(order: Order, table: Ref, verdict: Ref) -> GateResult:
    """Great Expectations over evidence and verdict; its Data Docs are kept in `gate/data_docs`."""
    exam, frame = examination(order), evidence.read(table.path)
    terms = Terms(exam.rows(frame), exam.acceptance, exam.plan, exam.judge, exam.names)
    return gate(frame, terms, Verdict.load(verdict.path), order.folder / GATE)


def refuse(verdict: Ref, gate: Gated) -> NoReturn:
    """Raise what ends the flow as Failed; the gate's own doubts count as much as the verdict's."""
    known = Verdict.load(verdict.path)
    outcome = known.outcome.value if known.reasons else "ERROR"
    reasons = [reason.message for reason in known.reasons] or [f"the gate doubts the verdict: {', '.join(gate.failed)}"]
    raise VerdictNotPassed(outcome, "\n  ".join([f"{outcome}, nothing was published:", *reasons]))


@task(name="look at the line", cache_policy=NO_CACHE)
def follow_task(order: Order) -> None:
    """IntegrityError before any work is done if it could not be published: the line was moved by somebody else;
    ServiceUnreachable if it could not be recorded, NoRoom if it could not be written."""
    settings = Settings.load()
    check_room(order.home, order.base_folder)
    check_successor(order.line, approved(order.line, settings), _predecessors(order))
    check_experiment(settings)


def _predecessors(order: Order) -> set[str]:
    """The bundles that may be approved when this order's takes their place: the one published last, and those that this
    policy came to, in whatever version, and whose receipt is missing: a crash came between pointer and receipt."""
    steps = journal(order.home, order.line).receipts()
    works = {read.work for read in of_step(steps, Step.READ) if read.inputs["policy"] == order.policy}
    own = [step for step in of_step(steps, Step.BUNDLED, Step.PUBLISHED) if step.work in works]
    last = {step.outputs["bundle"]: step.step for step in own}
    return {order.follows, *(bundle for bundle, step in last.items() if step == Step.BUNDLED)}


@task(name="publish", cache_policy=NO_CACHE)
def publish_task(order: Order, bundle: str, verdict: Ref | None = None) -> Release:
    """Content first, pointer last; the receipt names the policy, which is in force from here on.

    Without a verdict the base itself is published.
    """
    folder = order.folder / BUNDLE
    if file_digest(folder / MANIFEST) != bundle:
        raise IntegrityError(f"{folder} is no longer bundle {bundle}: submit the policy again")
    settings = Settings.load()
    publish_bundle(folder, order.line, settings, _predecessors(order))
    inputs = {"policy": order.policy, "state": order.state, **({"verdict": verdict.sha256} if verdict else {})}
    receipt = note(order, Step.PUBLISHED, inputs, outputs={"bundle": bundle})
    deliver(receipt, settings)
    remove_candidate(order)  # the bundle has it
    return Release(bundle, bundle_uri(bundle, settings), receipt.digest)


@task(name="write the report", cache_policy=NO_CACHE)
def report_task(order: Order, candidate: str, verdict: Ref, table: Ref) -> Ref:
    return Ref.of(write_report(order, candidate, verdict, table))


def still_in_place(line: str, settings: Settings) -> bool:
    """Whether the line serves what was published on it last, and S3 has all of it."""
    last = publications(settings.home, line)[-1].outputs["bundle"]
    return approved(line, settings) == last and is_published(last, settings)
