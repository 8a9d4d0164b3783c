"""Who tries again pays for it, whatever he calls it: attempts are counted by target and base, from the record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.policies import Policy, desired_state, parse
from expunge.tasks.core.work_order import Order, Weights
from expunge.tasks.evidence.examination import examination
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.line.attempts import attempt_number, next_number, questions_digest
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.queries import states
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import journal, note
from expunge.tasks.verify import attempt_task
from tests.flows.conftest import policy_file
from tests.tasks.handed_in import order_of
from tests.tasks.records import LINE, Work


def handed_in(home: Path, request_id: str, erase: str, aliases: tuple[str, ...] = (), **acceptance: Any) -> Policy:
    """A policy that the home keeps."""
    home.mkdir(exist_ok=True)
    path = policy_file(home, "cd" * 32, request_id, erase, **acceptance)
    data = json.loads(path.read_text())
    data["concepts"][0] |= {"id": "target", "aliases": list(aliases)}
    path.write_text(json.dumps(data))
    policy = parse(path.read_bytes(), request_id)
    keep_policy(home, policy.digest, path.read_bytes())
    return policy


def tried(home: Path, policy: Policy, candidate: str) -> int:
    """Put an attempt on record, as the flow does; its number."""
    asked = questions_digest(desired_state([policy]))
    chain = journal(home, LINE).receipts()
    number = attempt_number(home, chain, policy, (candidate * 64, asked))
    inputs = {"policy": policy.digest, "candidate": candidate * 64, "questions": asked}
    note(Work(home, key=policy.digest, request_id=policy.request_id), Step.ATTEMPTED, inputs, {}, {"attempt": number})
    return number


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_another_candidate_is_another_attempt_and_the_same_again_is_none(home: Path) -> None:
    policy = handed_in(home, "one", "bicycle")
    assert [tried(home, policy, candidate) for candidate in "abcabbc"] == [1, 2, 3, 1, 2, 2, 3]
    assert next_number(home, journal(home, LINE).receipts(), policy, policy.digest) == 3
    assert next_number(home, journal(home, LINE).receipts(), policy, "new") == 4


def test_attack_the_request_is_renamed(home: Path) -> None:
    assert tried(home, handed_in(home, "first", "bicycle"), "a") == 1
    assert tried(home, handed_in(home, "quite-another", "bicycle"), "b") == 2


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("police car", ()), ("Police Car", ())),
        (("police car", ()), ("police-car", ())),
        (("police car", ("cop car",)), ("patrol car", ("Cop-Car",))),
        (("7up", ()), ("7 up", ())),
        (("müsli", ()), ("Musli", ())),
        (("taxi", ("cab",)), ("cab", ())),
    ],
)
def test_attack_a_name_or_alias_in_another_spelling(home: Path, first: Any, then: Any) -> None:
    assert tried(home, handed_in(home, "first", *first), "a") == 1
    assert tried(home, handed_in(home, "second", *then), "b") == 2


def test_attack_the_record_is_taken_to_another_home(home: Path, tmp_path: Path) -> None:
    """Receipts and policies are all that counts, so a home that was copied, or restored without its work, knows."""
    tried(home, handed_in(home, "first", "bicycle"), "a")
    for folder in ("receipts", "signatures", "policies", "keys", "private"):
        if (home / folder).exists():
            shutil.copytree(home / folder, tmp_path / "other" / folder)
    assert tried(tmp_path / "other", handed_in(tmp_path / "other", "second", "bicycle"), "b") == 2


def test_attack_the_policy_of_an_attempt_is_removed(home: Path) -> None:
    """Nobody knows any more what it was an attempt on, so it was one on everything."""
    first = handed_in(home, "first", "bicycle")
    tried(home, first, "a")
    (home / "policies" / f"{first.digest}.yaml").unlink()
    assert tried(home, handed_in(home, "second", "bicycle"), "b") == 2
    assert tried(home, handed_in(home, "third", "umbrella"), "c") == 2


def test_another_target_has_attempts_of_its_own(home: Path) -> None:
    assert tried(home, handed_in(home, "one", "bicycle"), "a") == 1
    assert tried(home, handed_in(home, "two", "umbrella"), "b") == 1
    assert tried(home, handed_in(home, "both", "umbrella", ("bicycle",)), "c") == 3
    assert tried(home, handed_in(home, "three", "owl"), "d") == 1


def test_attack_the_same_candidate_by_another_seed_or_other_pictures(home: Path) -> None:
    one = handed_in(home, "one", "bicycle")
    assert tried(home, one, "a") == 1
    assert tried(home, one.model_copy(update={"seed": 1}), "a") == 2
    assert tried(home, handed_in(home, "more", "bicycle", seeds=9), "a") == 3, "bounds of one look do not hold at two"


def test_in_rounds_a_plan_that_goes_on_is_the_same_attempt(home: Path) -> None:
    rounds: dict[str, Any] = {"sampling": "sequential"}
    assert tried(home, handed_in(home, "one", "bicycle", **rounds), "a") == 1
    assert tried(home, handed_in(home, "two", "bicycle", **rounds, seeds=20), "a") == 1
    assert tried(home, handed_in(home, "three", "bicycle", **rounds, confidence=0.99), "a") == 1


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """A policy on the built-in model, as far as it was read."""
    path = policy_file(tmp_path, folder_digest(MODEL), "counted")
    policy = parse(path.read_bytes(), "counted")
    keep_policy(tmp_path / "home", policy.digest, path.read_bytes())
    return order_of(policy, tmp_path / "home")


def attempted(order: Order, candidate: str) -> Order:
    """The order as the flow goes on with it when the attempt with this candidate is counted."""
    return attempt_task.fn(open_case(order), Weights(order.folder, candidate * 64)).order


def test_an_attempt_is_on_record_before_anything_is_drawn_and_decides_confidence_and_seeds(order: Order) -> None:
    first = attempted(order, "a")
    assert (first.attempt, examination(first).acceptance.confidence) == (1, 0.9625)
    assert not (order.folder / "evidence.parquet").exists()
    second = attempted(order, "b")
    assert (second.attempt, examination(second).acceptance.confidence) == (2, 0.99375)
    one, two = ({question.shot.seed for question in examination(each).questions} for each in (first, second))
    assert min(one) == order.desired.seed
    assert not one & two, "whoever chose by the first pictures is judged by others"
    assert Order.load(order.home, order.key) == second
    (row,) = states(order.home)
    assert row["state"] == "attempted"


def test_attack_a_run_is_broken_off_before_its_verdict(order: Order) -> None:
    """Whoever watches the pictures and ends the run before it fails has used up an attempt."""
    attempted(order, "a")
    assert attempted(order, "b").attempt == 2
    assert attempted(order, "b").attempt == 2, "and to go on with it is none"


def test_what_is_only_examined_is_no_attempt_and_keeps_its_confidence(order: Order) -> None:
    assert order.attempt == 0
    assert examination(order).acceptance.confidence == 0.95
