"""Enter in MLflow what it failed to hear of a line: publications and the last check, from what their work left."""

from __future__ import annotations

from contextlib import suppress

from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.paths import EVIDENCE, REPORT, VERDICT
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.ledger.case import Case, reopen_case
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.proof import Proof, weights_by_bundle
from expunge.tasks.ledger.receipt import Receipt, is_of_a_base
from expunge.tasks.publish import Release
from expunge.tasks.record import enter_edit
from expunge.tasks.report import rerender, write_report
from expunge.tasks.restore import enter_base
from expunge.tasks.reverify import Check, record_finding
from expunge.tasks.storage.bundle_signature import deliver
from expunge.tasks.storage.bundle_store import bundle_uri
from expunge.tasks.tracking.registry import is_registered, register, withdraw
from expunge.tasks.tracking.runs import recorded_publications, recorded_run


def catch_up(ledger: Ledger, settings: Settings) -> None:
    """Tell MLflow what it failed to hear of a line's publications and of the last check.

    S3 gets the receipts of the publications, if that is what was cut short.
    """
    line, proof = ledger.line, Proof.of(ledger.chain)
    if proof is None:
        return
    for published in proof.published:
        deliver(published, settings)
    runs = recorded_publications(settings, line)
    for published in proof.published[:-1]:
        with suppress(IntegrityError, NothingOnRecord, FileNotFoundError):  # nothing is left of its work to tell of
            if published.digest not in runs:
                enter_again(published, ledger, settings)
    uri, run = bundle_uri(proof.bundle, settings), runs.get(proof.publication.digest)
    if run is None:
        enter_again(proof.publication, ledger, settings)
    elif not proof.doubts and not is_registered(settings, line, uri):
        register(settings, uri, run, line, proof.bundle)
    if proof.doubts:
        withdraw(settings, line)
    check = proof.check
    examined = check and "evidence" in check.outputs and check.inputs.get("bundle") == proof.bundle
    if check and examined and Order.is_kept(settings.home, check.work) and recorded_run(settings, check.digest) is None:
        case = reopen_case(check.work, settings, ledger)
        table = Ref.of(case.order.folder / EVIDENCE)
        _report(case, check.inputs["candidate"], Ref.of(case.order.folder / VERDICT), table)
        record_finding(Check(case, proof.publication), check, table)


def enter_again(published: Receipt, ledger: Ledger, settings: Settings) -> None:
    """Enter a publication in MLflow, from what its work left.

    Raises NothingOnRecord if that was cleared away, IntegrityError if its verdict is another by now.
    """
    case, bundle = reopen_case(published.work, settings, ledger), published.outputs["bundle"]
    order = case.order
    release = Release(bundle, bundle_uri(bundle, settings), published.digest)
    if is_of_a_base(published):
        return enter_base(case, release)
    made, table = Ref.of(order.folder / VERDICT), Ref.of(order.folder / EVIDENCE)
    if made.sha256 != published.inputs["verdict"]:
        raise IntegrityError(f"{made.path} is not the verdict of the publication: see `expunge audit`")
    _report(case, weights_by_bundle(case.chain)[bundle], made, table)
    enter_edit(case, Verdict.load(made.path), table.path, release)


def _report(case: Case, candidate: str, verdict: Ref, table: Ref) -> None:
    """Write the report where the home lacks it; on a machine that drew none of the pictures, without them."""
    if (case.order.folder / REPORT).exists():
        return
    try:
        write_report(case, candidate, verdict, table)
    except FileNotFoundError:
        rerender(case)
