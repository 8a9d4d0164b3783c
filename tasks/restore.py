"""Restoration: where nothing is left to erase the base itself is published, and its digest is all the proof needed."""

from __future__ import annotations

from expunge.engine.files.bundle import MODEL, assemble
from expunge.engine.files.digests import files
from expunge.engine.files.model_layout import check_complete, check_layout
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import BUNDLE
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.steps import LONGEST_CALL, step
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.ledger import Step
from expunge.tasks.ledger.policy_store import kept_policy
from expunge.tasks.ledger.queries import publications
from expunge.tasks.ledger.recorder import note, refusals_noted
from expunge.tasks.publish import Release
from expunge.tasks.record import enter, identity
from expunge.tasks.report import PAGES
from expunge.tasks.storage.bundle_store import published_files
from expunge.tasks.storage.manifest import listed, model_digest
from expunge.tasks.storage.pointer import check_served
from expunge.tasks.tracking.runs import STATE_TAG, VERDICT_TAG, RunRecord


def assemble_base(order: Order) -> str:
    """Put the base's own bytes and a card into `bundle/` in the order's folder; returns the bundle's digest.

    ModelFormatError where the base's folder holds more or less than a model, IntegrityError where it changed since it
    was looked at.
    """
    check_layout(order.base_folder, files(order.base_folder))
    check_complete(order.base_folder)
    card = PAGES.get_template("base_card.md").render(order=order, state=order.desired)
    folder = order.folder / BUNDLE
    digest = assemble(order.base_folder, {"README.md": card.encode()}, folder)
    if (found := model_digest(listed(folder))) != order.base:
        raise IntegrityError(f"{folder / MODEL} has the digest {found}, the base has {order.base}: submit again")
    return digest


@step("assemble the base")
def base_bundle_task(order: Order) -> str:
    inputs = {"candidate": order.base}
    with refusals_noted(order, inputs):
        digest = assemble_base(order)
    note(order, Step.BUNDLED, inputs, outputs={"bundle": digest})
    return digest


@step("look at the base", seconds=LONGEST_CALL)
def look_task(line: str, settings: Settings) -> str:
    """The key of the work that published the base of a line; IntegrityError unless pointer and files are as they were
    then and the model is the base, which is all that there is to check."""
    last = publications(settings.home, line)[-1]
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
def record_base_task(order: Order, settings: Settings, release: Release) -> None:
    enter_base(order, settings, release)


def enter_base(order: Order, settings: Settings, release: Release) -> None:
    """A run without figures, for nothing was measured, and the approved version."""
    what = RunRecord(
        key=order.key,
        request_id=order.request_id,
        receipt_digest=release.receipt,
        identity=identity(order, settings, release.bundle),
        metrics={},
        tags={VERDICT_TAG: "none", STATE_TAG: "published"},
    )
    enter(order, settings, what, release)
