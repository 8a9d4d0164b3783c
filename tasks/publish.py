"""Publish: check before any work that it will be possible, and do it when all is proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import file_digest
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.paths import BUNDLE
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Ref
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import LONGEST_CALL, step
from expunge.tasks.edit import remove_candidate
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.decisions.expiry import refuse_untimely
from expunge.tasks.ledger.decisions.record import NotApproved, approval_of, notices_of
from expunge.tasks.ledger.decisions.stopping import refuse_countered
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.policy_store import published_policies
from expunge.tasks.ledger.queries import NOTICES
from expunge.tasks.ledger.receipt import Step, of_step
from expunge.tasks.preflight import check_room
from expunge.tasks.storage.bundle_signature import deliver
from expunge.tasks.storage.bundle_store import bundle_uri, is_published, publish_bundle
from expunge.tasks.storage.pointer import approved, check_successor
from expunge.tasks.storage.record_replica import store
from expunge.tasks.tracking.runs import check_experiment


@dataclass(frozen=True)
class Release:
    """A published bundle: its digest, where it lies, and the digest of the receipt that says so."""

    bundle: str
    uri: str
    receipt: str


@step("look at the line", seconds=LONGEST_CALL)
def follow_task(case: Case) -> None:
    """Refuse before any work is done what could not be published in the end.

    Raises:
        Countered: a counter-notice is open.
        IntegrityError: the line was moved by somebody else.
        ServiceUnreachable: it could not be recorded.
        NoRoom: it could not be written.
    """
    order = case.order
    refuse_countered(order.home, case.policy, case.chain, notices_of(order.home))
    check_room(order.home, order.base_folder)
    check_successor(order.line, approved(order.line, case.settings), _predecessors(case))
    check_experiment(case.settings)


def _predecessors(case: Case) -> set[str]:
    """Return the bundles that may be approved when this order's takes their place.

    They are the one published last, and those that this policy came to, in whatever version, and whose receipt is
    missing, because a crash came between pointer and receipt.
    """
    order = case.order
    works = {read.work for read in of_step(case.chain, Step.READ) if read.inputs["policy"] == order.policy}
    own = [step for step in of_step(case.chain, Step.BUNDLED, Step.PUBLISHED) if step.work in works]
    last = {step.outputs["bundle"]: step.step for step in own}
    return {order.follows, *(bundle for bundle, step in last.items() if step == Step.BUNDLED)}


def _let_through(case: Case, bundle: str) -> dict[str, str]:
    """Return what the receipt names of an approval. Raises Countered, NotApproved; PolicyError on an expired policy."""
    refuse_untimely(case.policy, published_policies(case.order.home, case.chain), case.order.line, case.order.home)
    with alone_on(NOTICES, case.order.home):  # which puts back a receipt of a notice that is missing, or says so
        notices = notices_of(case.order.home)
    refuse_countered(case.order.home, case.policy, case.chain, notices)
    return approval_of(case, bundle)


def _look_again(case: Case, bundle: str, approval: Mapping[str, str]) -> None:
    """Refuse what changed while the bundle was uploaded, which may take hours."""
    if _let_through(case, bundle) != approval:
        raise NotApproved(f"{case.order.request_id} was approved anew meanwhile: publish it again")


@step("publish", seconds=LONGEST_CALL)
def publish_task(case: Case, bundle: str, verdict: Ref | None = None) -> Release:
    """Publish the content first and move the pointer last; the receipt puts the policy in force.

    Without a verdict the base itself is published. Raises NotApproved where people decide, and no approval counts;
    Countered where a counter-notice came in meanwhile.
    """
    order, settings = case.order, case.settings
    approval = _let_through(case, bundle)
    folder = order.folder / BUNDLE
    if file_digest(folder / MANIFEST) != bundle:
        raise IntegrityError(f"{folder} is no longer bundle {bundle}: submit the policy again")
    store(settings)  # so that whoever has but S3's copy of the record knows what the pointer names, and can go on
    publish_bundle(
        folder, order.line, settings, _predecessors(case), last_look=lambda: _look_again(case, bundle, approval)
    )
    inputs = {
        "policy": order.policy,
        "state": order.state,
        "floor": order.floor,
        **({"verdict": verdict.sha256} if verdict else {}),
        **approval,
    }
    receipt = case.note(Step.PUBLISHED, inputs, outputs={"bundle": bundle})
    deliver(receipt, settings)
    remove_candidate(order)  # the bundle has it
    release = Release(bundle, bundle_uri(bundle, settings), receipt.digest)
    tell(f"published: {release.uri}")
    return release


def still_in_place(ledger: Ledger, settings: Settings) -> bool:
    """Return whether the line serves what was published on it last, and S3 has all of it."""
    line, last = ledger.line, of_step(ledger.chain, Step.PUBLISHED)[-1].outputs["bundle"]
    return approved(line, settings) == last and is_published(last, settings)
