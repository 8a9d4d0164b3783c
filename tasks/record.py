"""Record in MLflow: a run for each work order, and a version in the registry for what was published."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from expunge.engine.stats.verdict import Verdict
from expunge.errors import ExpungeError
from expunge.policies import Policy, in_force
from expunge.policies.kinds import PRIVATE_KINDS
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import GATE, QUALITY, REPORT, VERDICT
from expunge.tasks.core.policy_adapter import sampler
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.core.workflow.steps import LONGEST_CALL, step
from expunge.tasks.evidence.auto_tuning import trials_file
from expunge.tasks.evidence.budget import spent
from expunge.tasks.evidence.gx.checkpoint import DATA_DOCS
from expunge.tasks.evidence.quality import read_quality
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.receipt import Step, of_step
from expunge.tasks.publish import Release
from expunge.tasks.report import describe
from expunge.tasks.tracking.metrics import metrics
from expunge.tasks.tracking.registry import register, withdraw
from expunge.tasks.tracking.runs import GRADE_TAG, LONGEST_VALUE, STATE_TAG, VERDICT_TAG, RunRecord, record, supersede
from expunge.tasks.views.contact_sheets import kept_sheets


@step("record in MLflow", seconds=LONGEST_CALL)
def record_task(case: Case, verdict: Ref, table: Ref, receipt: str, release: Release | None) -> str:
    """Index the order in MLflow under its last receipt, a released bundle in the registry too; returns the run id."""
    reached = Verdict.load(verdict.path)
    if release:
        return enter_edit(case, reached, table.path, release)
    return record(case.settings, run_record(case, reached, table.path, receipt, "none", "rejected"))


def enter_edit(case: Case, verdict: Verdict, table: Path, release: Release) -> str:
    """Enter a published edit in MLflow, as a run and in the registry; return the run id."""
    return enter(case, run_record(case, verdict, table, release.receipt, release.bundle, "published"), release)


def enter(case: Case, what: RunRecord, release: Release) -> str:
    """Enter a publication in MLflow, as a run and in the registry; return the run id.

    MLflow hears first of the requests whose place it took: without a run all of this is done again. Where something
    else is served by now, as MLflow was out of reach at the time, it has no place.
    """
    order, settings = case.order, case.settings
    supersede(settings, order.line, case.policy.replaces, order.request_id)
    run, status = record(settings, what), case.status
    if status and (by := status.replaced.get(order.request_id)):
        supersede(settings, order.line, [order.request_id], by.request_id)
    if status and status.proof.publication.digest != release.receipt:
        return run
    if status and status.proof.doubts:
        withdraw(settings, order.line)  # the weights are back that a check found wanting
    else:
        register(settings, release.uri, run, order.line, release.bundle)
    return run


def run_record(case: Case, verdict: Verdict, table: Path, receipt: str, bundle: str, outcome: str) -> RunRecord:
    """Return what MLflow shows of an order that came to this `outcome`.

    `bundle` is the one that is published, or "none".
    """
    order = case.order
    quality, _ = read_quality(order.folder)
    tags = {VERDICT_TAG: verdict.outcome.value, GRADE_TAG: verdict.grade, STATE_TAG: outcome}
    shown = not is_of_a_person(case)
    return RunRecord(
        key=order.key,
        request_id=order.request_id,
        receipt_digest=receipt,
        identity={**identity(case, bundle), **_drawn(order)},
        metrics=metrics(verdict, quality, spent(order.folder)),
        tags=tags | ({"expunge.worst_kept": quality.worst.concept} if quality else {}),
        evidence=table,
        data_docs=_here(order.folder / GATE / DATA_DOCS),
        contact_sheets=kept_sheets(order) if shown else (),
        description=described(case, verdict, shown),
        report=_here(order.folder / REPORT) if shown else None,
        further=tuple(filter(None, [order.folder / VERDICT, order.folder / QUALITY, trials_file(order)])),
    )


def described(case: Case, verdict: Verdict, named: bool) -> str:
    """Return what MLflow says of a run: figures and what they prove, where concepts may be `named`.

    Without them where the machine lacks what they are told from: the record goes before its description.
    """
    if named:
        with suppress(ExpungeError, OSError):
            return describe(case, verdict)
    return f"{case.order.request_id}: {verdict.outcome.value}. Grade: {verdict.grade}."


def _here(path: Path) -> Path | None:
    """Return what a work left that no receipt names; None on a machine that did not do the work."""
    return path if path.exists() else None


def is_of_a_person(case: Case) -> bool:
    """Return whether any request that the order is of wants a person kept out of pictures: then none leaves the home.

    The policies on record decide, not the ids in the desired state, which its digest leaves out. Raises IntegrityError
    where a published policy is lost, so that nobody can tell.
    """
    if case.lost:
        raise IntegrityError(next(iter(case.lost.values())))
    return not PRIVATE_KINDS.isdisjoint(policy.kind for policy in _in_force_then(case))


def _in_force_then(case: Case) -> list[Policy]:
    """Return the policies that were in force by the last receipt of the order, its own among them."""
    own = [number for number, receipt in enumerate(case.chain, 1) if receipt.work == case.order.key]
    then = case.chain[: own[-1]] if own else case.chain
    published = {receipt.inputs.get("policy", "") for receipt in of_step(then, Step.PUBLISHED)}
    return in_force([*(case.policies[digest] for digest in published), case.policy])


def identity(case: Case, bundle: str) -> dict[str, str]:
    """Return what sets the work of an order apart from any other in MLflow."""
    order = case.order
    return {
        "line": order.line,
        "bucket": case.settings.bucket,
        "policy": order.policy,
        "desired_state": order.state,
        "base": order.base,
        "engine_version": case.version,
        "bundle": bundle,
        **_replacing(case.policy.replaces),
    }


def _drawn(order: Order) -> dict[str, str]:
    """Return the editor, and how its pictures were drawn and judged."""
    state = order.desired
    by = sampler(state)
    return {
        "judge": order.judge,
        "editor": state.editor.name,
        "seed": str(state.seed),
        "drawn": f"{by.steps} steps, guidance {by.guidance:g}",
    }


def _replacing(ids: Sequence[str]) -> dict[str, str]:
    """Return which requests this one takes the place of, as far as MLflow shows them whole."""
    named = ", ".join(ids)
    return {"replaces": named if len(named) <= LONGEST_VALUE else f"{len(ids)} requests"} if ids else {}
