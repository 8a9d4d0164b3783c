"""Verify again what is published: the bundle that a line serves, as S3 has it, is examined anew.

What does not pass is suspect: the receipt says why, then MLflow's alias `approved` is withdrawn until a check passes or
another bundle takes its place. The pointer stays where it is: every earlier bundle erases less than the suspect one. If
MLflow does not answer, what is suspect is on record all the same, and MLflow hears of it the next night.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from expunge.engine.errors import EngineError
from expunge.engine.models.format import check_format
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord, VerdictNotPassed
from expunge.tasks.core.paths import DELTAS, VERDICT
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order, Ref, Weights
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import LONGEST_CALL, step
from expunge.tasks.evidence.conclude import conclude
from expunge.tasks.evidence.gather import gather_evidence
from expunge.tasks.evidence.identity import compare_with_base
from expunge.tasks.gate import run_gate
from expunge.tasks.intake import order_again
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.floor_store import keep_floor
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.proof import Proof, doubts_of, state_to_check
from expunge.tasks.ledger.policy_store import published_policies
from expunge.tasks.ledger.queries import publications
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.signatures.trust import trusted_keys
from expunge.tasks.record import run_record
from expunge.tasks.report import write_report
from expunge.tasks.storage.bundle_signature import check_delivered, deliver
from expunge.tasks.storage.bundle_store import bundle_uri, fetch_bundle
from expunge.tasks.storage.external_model import weights_of
from expunge.tasks.storage.pointer import check_served
from expunge.tasks.storage.served import served_otherwise
from expunge.tasks.tracking.registry import register, withdraw
from expunge.tasks.tracking.runs import SUSPECT, record


@dataclass(frozen=True)
class Check:
    """One check of a line: the case whose order says what it asks, and the publication that it has to serve."""

    case: Case
    published: Receipt

    @property
    def order(self) -> Order:
        return self.case.order

    @property
    def bundle(self) -> str:
        """The digest of the bundle that the line has to serve."""
        return self.published.outputs.get("bundle", "")

    @property
    def folder(self) -> Path:
        """Return where the bundle lies while it is questioned."""
        return self.order.home / "served" / self.order.line


def next_check(ledger: Ledger, settings: Settings) -> Check:
    """Return the check that is due next; the same one until it is concluded.

    Raises:
        NothingOnRecord: nothing was published on the line.
        IntegrityError: a policy or the base is not as it was.
    """
    home, line, proof = settings.home, ledger.line, Proof.of(ledger.chain)
    if proof is None:
        raise NothingOnRecord(f"nothing is published on a line {line!r} here: `expunge status` names the lines")
    policies, floor = published_policies(home, ledger.chain), keep_floor(home)
    known = MappingProxyType({policy.digest: policy for policy in policies})
    state = state_to_check(policies, ledger.chain, floor)
    if state.restores:
        raise NothingOnRecord(f"{line} serves its base: all requests are withdrawn, so there is nothing to prove")
    order = order_again(known[proof.publication.inputs["policy"]], state, line, home, floor, proof.bundle)
    return Check(Case(order, known, ledger, settings), proof.publication)


def fetch_served(check: Check) -> Weights:
    """Return the model that the line serves, downloaded now, for that is what is checked.

    Raises IntegrityError if it is another than was published, or not whole, or nobody vouches for it any more.
    """
    remove(check)
    published, settings = check.published, check.case.settings
    check_served(check.order.line, check.bundle, settings)
    deliver(published, settings)
    bundle = fetch_bundle(check.bundle, check.folder, settings)
    check_delivered(published, check.folder, settings)
    try:
        check_format(bundle.model)
    except EngineError as error:
        raise IntegrityError(f"what {check.order.line} serves is no model that can be judged: {error}") from error
    return weights_of(bundle)


def is_changed(line: str, settings: Settings) -> bool:
    """Return whether S3 serves something else on a line than was published on it last, by the checksums that it keeps.

    That takes a request a file. The check that is due reads every byte.
    """
    published = publications(settings.home, line)[-1]
    found = served_otherwise(published, settings, trusted_keys(settings.home), every_byte=False)
    return next(found, None) is not None


def remove(check: Check) -> None:
    """Remove the copy of what is served, whole or half; one of an earlier check must not be taken for it."""
    for copy in check.folder.parent.glob(f"{check.folder.name}.part-*"):
        shutil.rmtree(copy, ignore_errors=True)
    if check.folder.exists():
        shutil.rmtree(check.folder)


def conclude_check(check: Check, model: Weights, table: Ref) -> Receipt:
    """Return the receipt of a check: verdict, quality and gate as before a publication."""
    order = check.order
    comparison = compare_with_base(order, model, check.folder / DELTAS)
    known = conclude(order, model, comparison, table)
    doubts = run_gate(order, model, comparison, table, known.verdict).failed_expectations
    verdict = {**known.summary, "doubts": [] if known.summary["reasons"] else list(doubts)}
    receipt = check.case.note(Step.CHECKED, {**_asked(check), "candidate": model.digest}, known.outputs, verdict)
    write_report(check.case, model.digest, known.verdict, table)
    return receipt


def _asked(check: Check) -> dict[str, str]:
    order = check.order
    return {
        "bundle": check.bundle,
        "state": order.state,
        "base": order.base,
        "judge": order.judge,
        "floor": order.floor,
    }


def record_finding(check: Check, receipt: Receipt, table: Ref) -> None:
    """Record a check in MLflow as a run; approve the version that it proved, and withdraw one that it did not."""
    order, settings, doubts = check.order, check.case.settings, doubts_of(receipt)
    if doubts:
        withdraw(settings, order.line)
    verdict, state = Verdict.load(order.folder / VERDICT), SUSPECT if doubts else str(Step.CHECKED)
    run = record(settings, run_record(check.case, verdict, table.path, receipt.digest, check.bundle, state))
    if not doubts:
        register(settings, bundle_uri(check.bundle, settings), run, order.line, check.bundle)


def refuse(line: str, receipt: Receipt) -> None:
    """Raise VerdictNotPassed, which ends the flow as Failed, if the check did not prove what is served."""
    if found := doubts_of(receipt):
        outcome = "ERROR" if receipt.outcome == "PASS" else str(receipt.outcome)
        raise VerdictNotPassed(outcome, "\n  ".join([f"{outcome}, what {line} serves is suspect:", *found]))


@step("open the check")
def open_task(ledger: Ledger, settings: Settings) -> Check:
    """Open the case of the check that is due next."""
    check = next_check(ledger, settings)
    tell(f"{ledger.line} serves bundle {check.bundle[:12]}: check {check.order.key[:12]}")
    return check


@step("fetch what is served", seconds=LONGEST_CALL)
def fetch_task(check: Check) -> Weights:
    """Fetch what the line serves; what is not as it was published leaves a receipt, and then the alias goes."""
    try:
        return fetch_served(check)
    except IntegrityError as error:
        remove(check)
        found = {"outcome": "ERROR", "reasons": [str(error)], "doubts": []}
        check.case.note(Step.CHECKED, _asked(check), {}, found)
        try:
            withdraw(check.case.settings, check.order.line)
        except Exception as unheard:  # what was found goes before what MLflow says
            logging.getLogger(__name__).warning("the alias was not withdrawn, the next night does it: %s", unheard)
        raise


@step("gather evidence")
def question_task(check: Check, model: Weights) -> Ref:
    return gather_evidence(check.order, model)


@step("conclude the check")
def conclude_task(check: Check, model: Weights, table: Ref) -> Receipt:
    receipt = conclude_check(check, model, table)
    remove(check)
    tell(f"verdict {receipt.outcome}")
    return receipt


@step("record in MLflow", seconds=LONGEST_CALL)
def finding_task(check: Check, receipt: Receipt, table: Ref) -> None:
    record_finding(check, receipt, table)
