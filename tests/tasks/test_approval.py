"""What is looked at again before a person's approval becomes a publication: each part that changed ends it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.canonical_json import canonical_json
from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import file_digest
from expunge.policies import read
from expunge.tasks.approval import Approved, ask_task, reopen_task
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord
from expunge.tasks.core.paths import BUNDLE, EVIDENCE, VERDICT
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.decisions.record import NotApproved
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.restore import base_bundle_task
from tests.flows.conftest import policy_file, withdrawal
from tests.tasks.handed_in import handed_in
from tests.tasks.ledger.test_decisions import DIGEST, Desk
from tests.tasks.ledger.test_decisions import desk as desk  # the fixture
from tests.tasks.storage.bundles import make_bundle

PROOF = {"verdict": VERDICT, "evidence": EVIDENCE}


def looked_at(desk: Desk, order: Order, request_id: str) -> Approved:
    settings = Settings(desk.home, "", "", "")
    return reopen_task.fn(request_id, journal(desk.home, order.line), settings)


def published(desk: Desk, request_id: str, erase: str) -> Order:
    order = handed_in(policy_file(desk.folder, DIGEST, request_id, erase), desk.home)
    inputs = {"policy": order.policy, "state": order.state, "floor": order.floor}
    note(order, Step.PUBLISHED, inputs, {"bundle": order.key})
    return order


@pytest.fixture
def waits(desk: Desk) -> Order:
    """A withdrawal whose base waits for a person, as a takedown leaves it."""
    published(desk, "gone", "umbrella")
    order = handed_in(withdrawal(desk.folder / "gone.yaml", "back", "gone"), desk.home)
    case = open_case(order)
    assert ask_task.fn(case, base_bundle_task.fn(case))
    return order


def test_what_a_person_approved_is_published_as_it_was(desk: Desk, waits: Order) -> None:
    desk.approve(request_id="back")
    found = looked_at(desk, waits, "back")
    assert (found.bundle, found.candidate) == (file_digest(waits.folder / BUNDLE / MANIFEST), waits.base)
    assert (found.verdict, found.evidence) == (None, None)


def test_attack_what_nobody_approved_is_published(desk: Desk, waits: Order) -> None:
    with pytest.raises(NotApproved, match="nobody has approved it"):
        looked_at(desk, waits, "back")
    with pytest.raises(NothingOnRecord, match="gone does not wait"):
        looked_at(desk, waits, "gone")


def exchange_bundle(desk: Desk, order: Order) -> None:
    shutil.rmtree(order.folder / BUNDLE)
    make_bundle(order.folder / BUNDLE, b"another model")


def publish_another(desk: Desk, order: Order) -> None:
    published(desk, "between", "bicycle")


def publish_under_the_same_bundle(desk: Desk, order: Order) -> None:
    """What is served is the same, and what is in force is not."""
    other = handed_in(policy_file(desk.folder, DIGEST, "between", "bicycle"), desk.home)
    inputs = {"policy": other.policy, "state": other.state, "floor": other.floor}
    note(other, Step.PUBLISHED, inputs, {"bundle": order.follows})


def exchange_state(desk: Desk, order: Order) -> None:
    replace(order, state="e" * 64).save()


def exchange_policy(desk: Desk, order: Order) -> None:
    """Another policy of this request, which is on record, too."""
    path = policy_file(desk.folder, DIGEST, order.request_id, "rainbow")
    digest = read(path).digest
    keep_policy(desk.home, digest, path.read_bytes())
    replace(order, policy=digest).save()


def exchange_line(desk: Desk, order: Order) -> None:
    replace(order, line="another-line").save()


def follow_another(desk: Desk, order: Order) -> None:
    replace(order, follows="e" * 64).save()


def lose_policy(desk: Desk, order: Order) -> None:
    (chain := journal(desk.home, order.line).receipts())
    digest = next(one.inputs["policy"] for one in chain if one.request_id == "gone")
    (desk.home / "policies" / f"{digest}.yaml").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (exchange_bundle, "people were asked about another"),
        (publish_another, "something else was published on"),
        (publish_under_the_same_bundle, "the floor, or what is in force on .*, changed since"),
        (exchange_state, "holds another order than people were asked about"),
        (lose_policy, "is not the published policy that was received"),
    ],
)
def test_attack_what_people_approved_is_exchanged_before_it_is_published(
    change: Callable[[Desk, Order], None], words: str, desk: Desk, waits: Order
) -> None:
    desk.approve(request_id="back")
    change(desk, waits)
    with pytest.raises(IntegrityError, match=words):
        looked_at(desk, waits, "back")


@pytest.fixture
def proven(desk: Desk) -> Order:
    """An erasure with all that a publication rests on, which a person approved."""
    order = handed_in(policy_file(desk.folder, DIGEST, "first"), desk.home)
    bundle = file_digest(make_bundle(order.folder / BUNDLE) / MANIFEST)
    made = {"state": order.state, "plan": "a" * 64, "candidate": "c" * 64, "bundle": bundle}
    for name, file in PROOF.items():
        (order.folder / file).write_text(f"the {name}")
        made[name] = file_digest(order.folder / file)
    for step, inputs, outputs, outcome in (
        (Step.PLANNED, ("state",), ("plan",), None),
        (Step.ERASED, ("plan",), ("candidate",), None),
        (Step.VERIFIED, ("candidate",), ("verdict", "evidence"), "PASS"),
        (Step.GATED, ("verdict", "evidence"), (), "open"),
        (Step.BUNDLED, ("candidate", "verdict", "evidence"), ("bundle",), None),
    ):
        said = {"outcome": outcome, "reasons": []} if outcome else None
        note(order, step, {name: made[name] for name in inputs}, {name: made[name] for name in outputs}, said)
    assert ask_task.fn(open_case(order), bundle, Ref.of(order.folder / VERDICT))
    desk.approve()
    return order


def test_what_was_proven_is_published_with_its_proof(desk: Desk, proven: Order) -> None:
    found = looked_at(desk, proven, "first")
    assert (found.bundle, found.candidate) == (file_digest(proven.folder / BUNDLE / MANIFEST), "c" * 64)
    assert (found.verdict, found.evidence) == tuple(Ref.of(proven.folder / file) for file in PROOF.values())


@pytest.mark.parametrize("name", PROOF)
def test_attack_a_file_of_the_proof_is_changed_after_people_were_asked(name: str, desk: Desk, proven: Order) -> None:
    (proven.folder / PROOF[name]).write_text(f"another {name}")
    with pytest.raises(IntegrityError, match=f"is not the {name} that people were asked on"):
        looked_at(desk, proven, "first")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (exchange_bundle, "people were asked about another"),
        (exchange_state, "holds another order than people were asked about"),
        (exchange_policy, "holds another order than people were asked about"),
        (exchange_line, "holds another order than people were asked about"),
        (follow_another, "something else was published on"),
    ],
)
def test_attack_what_was_proven_and_approved_is_exchanged_before_it_is_published(
    change: Callable[[Desk, Order], None], words: str, desk: Desk, proven: Order
) -> None:
    change(desk, proven)
    with pytest.raises(IntegrityError, match=words):
        looked_at(desk, proven, "first")


@pytest.fixture
def erases(desk: Desk) -> Order:
    """An erasure that a person approved, with a bundle that holds no proof."""
    order = handed_in(policy_file(desk.folder, DIGEST, "first"), desk.home)
    bundle = file_digest(make_bundle(order.folder / BUNDLE) / MANIFEST)
    desk.submitted("first", bundle, desk.folder / "first.yaml")
    desk.approve()
    return order


def test_attack_a_bundle_without_a_proof_was_approved(desk: Desk, erases: Order) -> None:
    with pytest.raises(IntegrityError, match="it would rest on nothing"):
        looked_at(desk, erases, "first")


def test_attack_the_floor_rose_since_people_were_asked(desk: Desk, erases: Order) -> None:
    floor = (desk.folder / "asks.yaml").read_text()
    (desk.folder / "risen.yaml").write_text(floor.replace("confidence: 0.51", "confidence: 0.99"))
    desk.patch.setenv("EXPUNGE_FLOOR", str(desk.folder / "risen.yaml"))
    with pytest.raises(IntegrityError, match="has no place among what is in force now"):
        looked_at(desk, erases, "first")


def test_attack_the_state_that_people_approved_is_not_that_in_force(desk: Desk, erases: Order) -> None:
    """The order says another state, and so does the receipt that asked: the policies in force come to neither."""
    asked = next(one for one in reversed(journal(desk.home, erases.line).receipts()) if one.step == Step.AWAITING)
    assert asked.inputs["state"] == erases.state
    content = json.loads((erases.folder / "state.json").read_text()) | {"seed": 7}
    (erases.folder / "state.json").write_bytes(canonical_json(content))
    with pytest.raises(IntegrityError):
        looked_at(desk, erases, "first")
    assert Path(erases.folder / BUNDLE).exists()
