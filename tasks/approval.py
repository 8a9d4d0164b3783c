"""Wait for people, and look again: what a takedown ends with where they decide, and what is checked before it goes on.

Between the two may lie days. So nothing that the takedown knew is believed: record, floor, policies in force and files
are held against each other anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from expunge.policies import PolicyError, PolicyErrors, refuse_below
from expunge.tasks.audit.provenance import unfounded
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.paths import BUNDLE, EVIDENCE, VERDICT
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Ref
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import step
from expunge.tasks.ledger.case import Case, reopen_case
from expunge.tasks.ledger.decisions.question import open_question
from expunge.tasks.ledger.decisions.record import approval_of, ask, how_to_decide, people_of
from expunge.tasks.ledger.floor_store import floor_in_force
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.policy_store import published_policies, state_with
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.storage.manifest import check_bundle


@dataclass(frozen=True)
class Approved:
    """A bundle that a person approved, with all that its publication needs; a base has neither verdict nor evidence."""

    case: Case
    bundle: str
    candidate: str
    verdict: Ref | None
    evidence: Ref | None


@step("ask for a decision")
def ask_task(case: Case, bundle: str, verdict: Ref | None = None) -> bool:
    """Return whether a proven bundle waits for people to decide; the receipt says so, and who they are."""
    asked = ask(case, bundle, verdict and verdict.sha256)
    if asked is None:
        return False
    tell(f"proven and not published: {how_to_decide(asked.request_id, people_of(case.order.home, case.chain, asked))}")
    return True


@step("look at the approval")
def reopen_task(request_id: str, ledger: Ledger, settings: Settings) -> Approved:
    """Return what a person approved, if all that it rests on is as it was.

    Raises:
        NothingOnRecord: the request does not wait.
        NotApproved: no approval counts.
        IntegrityError: something is otherwise than it was when people were asked.
    """
    asked = open_question(ledger.receipts(), request_id)
    if asked is None:
        raise NothingOnRecord(f"{request_id} does not wait for a decision: see `expunge status`")
    case, bundle = reopen_case(asked.work, settings, ledger, bundle=True), asked.inputs["bundle"]
    approval_of(case, bundle)
    _refuse_changed(case, asked)
    made = next(one for one in reversed(of_step(case.receipts, Step.BUNDLED)) if one.outputs["bundle"] == bundle)
    verdict, table = _proof_of(case, asked, made)
    return Approved(case, bundle, made.inputs["candidate"], verdict, table)


def _refuse_changed(case: Case, asked: Receipt) -> None:
    """Raise IntegrityError where record, floor, policies in force or bundle are not those that people were asked on."""
    order, again = case.order, "submit the policy again, and people are asked anew"
    if case.lost:
        raise IntegrityError(next(iter(case.lost.values())))
    if (order.policy, order.state, order.line) != (asked.inputs["policy"], asked.inputs["state"], asked.line):
        raise IntegrityError(f"{order.folder} holds another order than people were asked about: {again}")
    if (found := check_bundle(order.folder / BUNDLE).digest) != asked.inputs["bundle"]:
        raise IntegrityError(f"{order.folder / BUNDLE} is bundle {found}, people were asked about another: {again}")
    published = of_step(case.chain, Step.PUBLISHED)
    if order.follows != (published[-1].outputs["bundle"] if published else ""):
        raise IntegrityError(f"something else was published on {order.line} since {asked.at}: {again}")
    floor = floor_in_force()
    try:
        refuse_below(case.policy, floor)
        state = state_with(case.policy, published_policies(order.home, case.chain), case.chain, floor)
    except (PolicyError, PolicyErrors) as error:
        raise IntegrityError(f"{order.request_id} has no place among what is in force now ({error}): {again}") from None
    if state.digest != order.state:
        raise IntegrityError(f"the floor, or what is in force on {order.line}, changed since {asked.at}: {again}")
    inputs = {name: asked.inputs[name] for name in ("policy", "state", "floor", "verdict") if name in asked.inputs}
    update = {"step": str(Step.PUBLISHED), "inputs": inputs, "outputs": {"bundle": asked.inputs["bundle"]}}
    for problem in unfounded(order.home, asked.model_copy(update=update), case.chain):
        raise IntegrityError(f"it would rest on nothing: {problem}")


def _proof_of(case: Case, asked: Receipt, made: Receipt) -> tuple[Ref | None, Ref | None]:
    """Return verdict and evidence as the record has them; none of a base."""
    if "verdict" not in asked.inputs:
        return None, None
    found = []
    for name, file in (("verdict", VERDICT), ("evidence", EVIDENCE)):
        ref = Ref.of(case.order.folder / file)
        if ref.sha256 != made.inputs[name]:
            raise IntegrityError(f"{ref.path} is not the {name} that people were asked on: submit the policy again")
        found.append(ref)
    return found[0], found[1]
