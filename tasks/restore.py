"""Restoration: where nothing is to be erased any more the base itself is published, and its digest is the proof."""

from __future__ import annotations

from expunge.engine.files.bundle import MODEL, assemble
from expunge.engine.files.digests import files
from expunge.engine.files.model_layout import check_complete, check_layout
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import BUNDLE
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.core.workflow.steps import LONGEST_CALL, step
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.receipt import Step, of_step
from expunge.tasks.publish import Release
from expunge.tasks.record import enter, identity
from expunge.tasks.report import PAGES
from expunge.tasks.storage.bundle_store import published_files
from expunge.tasks.storage.manifest import listed, model_digest
from expunge.tasks.storage.pointer import check_served
from expunge.tasks.tracking.runs import STATE_TAG, VERDICT_TAG, RunRecord
from expunge.tasks.views.model_card import front_matter


def assemble_base(order: Order) -> str:
    """Put the base's own bytes and a card into `bundle/` in the order's folder; returns the bundle's digest.

    Raises:
        ModelFormatError: the base's folder holds more or less than a model.
        IntegrityError: it changed since it was looked at.
    """
    check_layout(order.base_folder, files(order.base_folder))
    check_complete(order.base_folder)
    matter = front_matter(order.base_folder)
    card = PAGES.get_template("base_card.md").render(order=order, state=order.desired, front_matter=matter)
    folder = order.folder / BUNDLE
    digest = assemble(order.base_folder, {"README.md": card.encode()}, folder)
    if (found := model_digest(listed(folder))) != order.base:
        raise IntegrityError(f"{folder / MODEL} has the digest {found}, the base has {order.base}: submit again")
    return digest


@step("assemble the base")
def base_bundle_task(case: Case) -> str:
    inputs = {"candidate": case.order.base}
    with case.refusals_noted(inputs):
        digest = assemble_base(case.order)
    case.note(Step.BUNDLED, inputs, outputs={"bundle": digest})
    return digest


@step("look at the base", seconds=LONGEST_CALL)
def look_task(ledger: Ledger, settings: Settings) -> str:
    """Return the key of the work that published the base of a line.

    Raises:
        IntegrityError: pointer and files are not as they were then, or the model is not the base, which
            is all that there is to check.
    """
    line, last = ledger.line, of_step(ledger.chain, Step.PUBLISHED)[-1]
    bundle = last.outputs["bundle"]
    check_served(line, bundle, settings)
    if not (listed := published_files(bundle, settings)):
        raise IntegrityError(
            f"bundle {bundle}, the base that {line} serves, is not whole: submit {last.request_id} again"
        )
    model, base = model_digest(listed), kept_policy(settings.home, last.inputs["policy"]).base.sha256
    if model != base:
        raise IntegrityError(f"{line} serves the model {model}, its base is {base}: see `expunge audit`")
    return last.work


@step("record in MLflow", seconds=LONGEST_CALL)
def record_base_task(case: Case, release: Release) -> None:
    enter_base(case, release)


def enter_base(case: Case, release: Release) -> None:
    """Enter the base in MLflow: a run without figures, for nothing was measured, and the approved version."""
    what = RunRecord(
        key=case.order.key,
        request_id=case.order.request_id,
        receipt_digest=release.receipt,
        identity=identity(case, release.bundle),
        metrics={},
        tags={VERDICT_TAG: "none", STATE_TAG: "published"},
    )
    enter(case, what, release)
