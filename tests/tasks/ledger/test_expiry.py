"""What has expired on a real record: when it is put back, what nobody can put back before, and what people see."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows.casework.counter import counter
from expunge.flows.casework.expiry import expired_on, withdraw_expired
from expunge.flows.casework.notices import list_due
from expunge.policies import PolicyConflict, PolicyError, composed_json, read, withdrawal_on_expiry
from expunge.tasks.audit.record import audit
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.intake import repeated
from expunge.tasks.ledger.decisions import expiry
from expunge.tasks.ledger.decisions.expiry import untimely
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.queries import states
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.recorder import journal, note
from tests.flows.conftest import policy_file, run_cli
from tests.tasks.handed_in import handed_in
from tests.tasks.ledger.test_counters import letter

DIGEST = folder_digest(MODEL)
SHORT = 1.0


def ending(folder: Path, request_id: str = "first", seconds: float = SHORT, **fields: str) -> Path:
    """A policy file whose policy expires so soon."""
    path = policy_file(folder, DIGEST, request_id)
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    path.write_text(json.dumps({**json.loads(path.read_text()), "expires_at": until.isoformat(), **fields}))
    return path


def publish(path: Path, home: Path) -> Order:
    order = handed_in(path, home)
    with alone_on(order.line, home):
        note(order, Step.PUBLISHED, {"policy": order.policy, "floor": order.floor}, {"bundle": order.key})
    return order


def following(path: Path) -> Path:
    """The file of the withdrawal that follows."""
    policy = withdrawal_on_expiry(read(path))
    file = path.with_name(f"{policy.request_id}.json")
    file.write_bytes(composed_json(policy.model_dump(mode="json")))
    return file


def wait_for(path: Path) -> None:
    end = read(path).expires_at
    assert end is not None
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1.1)  # a receipt has whole seconds


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def row(home: Path, request_id: str = "first") -> dict:
    return next(one for one in states(home) if one["request_id"] == request_id)


def published(home: Path, line: str) -> tuple[Receipt, list[Receipt]]:
    """The last publication, and the receipts before it."""
    chain = journal(home, line).receipts()
    last = [one for one in chain if one.step == Step.PUBLISHED][-1]
    return last, chain[: last.sequence - 1]


def test_an_expired_policy_is_withdrawn_and_the_record_says_why(home: Path, tmp_path: Path) -> None:
    order = publish(path := ending(tmp_path), home)
    assert expired_on(home, order.line) == []
    wait_for(path)
    assert [one.request_id for one in expired_on(home, order.line)] == ["first"]
    publish(following(path), home)
    chain = journal(home, order.line).receipts()
    (why,) = [one.verdict for one in chain if one.step == Step.READ and one.verdict]
    end = read(path).expires_at
    assert end is not None
    assert why == {"outcome": "accepted", "reasons": [f"first expired at {end.isoformat()}"]}
    assert untimely(home, *published(home, order.line)) == ""
    assert (row(home)["state"], row(home)["ends"], expired_on(home, order.line)) == ("replaced", "", [])
    (changed,) = row(home)["amended"]
    assert changed["changes"][:2] == [f"expired at: {end.isoformat()}", "erases no more: bicycle"]


def test_status_and_due_say_in_how_many_days_it_expires(home: Path, tmp_path: Path) -> None:
    publish(path := ending(tmp_path, seconds=10 * 86_400), home)
    publish(policy_file(tmp_path, DIGEST, "endless", "umbrella"), home)
    assert (row(home)["ends"], row(home, "endless")["ends"]) == ("expires in 10 days", "")
    (due,) = list_due(home)["due"]
    assert (due["request_id"], due["ends"], due["due"], due["late"]) == ("first", "expires in 10 days", None, False)
    end = read(path).expires_at
    assert end is not None
    assert list_due(home, end - timedelta(days=31))["due"] == []
    (due,) = list_due(home, end)["due"]
    assert (due["ends"], list_due(home, end)["exit_code"]) == ("expired", 0)
    for command in ("status", "due"):
        assert "expires in 10 days" in run_cli(command, EXPUNGE_HOME=str(home)).out, command
    assert "until  " in run_cli("validate", str(path)).out


def test_what_was_never_carried_out_and_expired_waits_no_more(home: Path, tmp_path: Path) -> None:
    handed_in(path := ending(tmp_path, seconds=3600), home)
    end = read(path).expires_at
    assert end is not None
    assert len(list_due(home)["due"]) == 1
    assert list_due(home, end)["due"] == []


def test_attack_a_restoration_is_handed_in_before_the_end(home: Path, tmp_path: Path) -> None:
    order = publish(path := ending(tmp_path, seconds=3600), home)
    with pytest.raises(PolicyError, match="first holds until"):
        handed_in(following(path), home)
    assert row(home, withdrawal_on_expiry(read(path)).request_id)["state"] == "rejected"
    assert expired_on(home, order.line) == []


def test_attack_a_clock_is_set_forward_on_one_machine(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease's token is of the database's clock, which the machine does not set."""

    class Forward(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=400)

    order = publish(path := ending(tmp_path, seconds=86_400), home)
    monkeypatch.setattr(expiry, "datetime", Forward)
    with alone_on(order.line, home), pytest.raises(PolicyError, match="first holds until"):
        handed_in(following(path), home)


@pytest.mark.parametrize(("ahead", "token_ahead"), [(0, 0), (2, 0), (0, 2)])
def test_attack_the_record_has_a_restoration_before_the_end(
    ahead: int, token_ahead: int, home: Path, tmp_path: Path
) -> None:
    """By the time of the receipt, by the database's clock, or by both."""
    order = publish(path := ending(tmp_path, seconds=86_400), home)
    policy = read(follows := following(path))
    (home / "policies" / f"{policy.digest}.yaml").write_bytes(follows.read_bytes())
    inputs = {"policy": policy.digest, "floor": order.floor}
    told: dict[str, Any] = {"inputs": inputs, "outputs": {"bundle": "c" * 64}, "settings": {"work": "d" * 64}}
    with alone_on(order.line, home):
        journal(home, order.line).append(Step.PUBLISHED, request_id=policy.request_id, who="x", **told)
    receipt, before = published(home, order.line)
    at = datetime.fromisoformat(receipt.at) + timedelta(days=ahead)
    assert receipt.fencing_token
    token = receipt.fencing_token + token_ahead * 86_400_000
    moved = receipt.model_copy(update={"at": f"{at:%Y-%m-%dT%H:%M:%SZ}", "fencing_token": token})
    assert "it should not have been published then: on_expiry: first holds until" in untimely(home, moved, before)
    if ahead == token_ahead:
        assert any("it should not have been published then" in problem for problem in audit(home).problems)
    both = {"at": f"{at + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}", "fencing_token": token + 2 * 86_400_000}
    assert untimely(home, receipt.model_copy(update=both), before) == ""


def test_attack_an_expired_policy_is_submitted_again(home: Path, tmp_path: Path) -> None:
    """Before it was withdrawn it is in force as it was; after that it is refused, under another id, too."""
    order = publish(path := ending(tmp_path), home)
    handed_in(path, home)
    wait_for(path)
    publish(following(path), home)
    with pytest.raises(PolicyConflict, match="first was replaced by expired-"):
        handed_in(path, home)
    again = path.with_name("again.yaml")
    again.write_text(path.read_text().replace('"first"', '"again"'))
    assert repeated(read(again), journal(home, order.line), home) is None
    with pytest.raises(PolicyError, match=r"expires_at.* has passed"):
        handed_in(again, home)


def test_attack_what_expired_is_repeated_by_another_before_it_is_withdrawn(home: Path, tmp_path: Path) -> None:
    order = publish(path := ending(tmp_path), home)
    again = path.with_name("again.yaml")
    again.write_text(path.read_text().replace('"first"', '"again"'))
    assert repeated(read(again), journal(home, order.line), home) is not None
    wait_for(path)
    assert repeated(read(again), journal(home, order.line), home) is None


def test_attack_an_approval_of_the_erasure_is_used_after_its_end(home: Path, tmp_path: Path) -> None:
    """The record shows a publication long after the end of what was never published before."""
    order = handed_in(path := ending(tmp_path, seconds=3600), home)
    with alone_on(order.line, home):
        note(order, Step.PUBLISHED, {"policy": order.policy, "floor": order.floor}, {"bundle": order.key})
    receipt, before = published(home, order.line)
    assert untimely(home, receipt, before) == ""
    later = datetime.fromisoformat(receipt.at) + timedelta(hours=2)
    moved = receipt.model_copy(update={"at": f"{later:%Y-%m-%dT%H:%M:%SZ}"})
    assert "expires_at:" in untimely(home, moved, before)
    assert read(path).expires_at


@pytest.mark.parametrize("first", ["expiry", "counter-notice"])
def test_an_expiry_and_a_counter_notice_at_once_put_back_once(first: str, home: Path, tmp_path: Path) -> None:
    order = publish(path := ending(tmp_path, kind="copyright"), home)
    drafted = Path(counter("first", letter(tmp_path, "reply"), None, home)["draft"])
    wait_for(path)
    assert row(home)["state"] == "countered"
    (due,) = list_due(home)["due"]
    assert (due["state"], due["ends"]) == ("countered", "expired")
    one, other = (following(path), drafted) if first == "expiry" else (drafted, following(path))
    publish(one, home)
    assert (row(home)["state"], expired_on(home, order.line)) == ("replaced", [])
    with pytest.raises(PolicyError, match=r"first.* was replaced by"):
        handed_in(other, home)


def test_attack_an_amendment_by_another_kind_shortens_a_court_order(home: Path, tmp_path: Path) -> None:
    path = policy_file(tmp_path, DIGEST, "first")
    path.write_text(path.read_text().replace('"trademark"', '"court_order"'))
    publish(path, home)
    shorter = ending(tmp_path, "shorter", 3600, kind="voluntary")
    shorter.write_text(json.dumps({**json.loads(shorter.read_text()), "replaces": ["first"]}))
    with pytest.raises(PolicyError, match="ends what first asks for sooner"):
        handed_in(shorter, home)


def test_what_expires_leaves_the_same_target_to_another(home: Path, tmp_path: Path) -> None:
    """A policy without an end erases it still: the state is that of this one alone."""
    publish(path := ending(tmp_path), home)
    alone = publish(policy_file(tmp_path, DIGEST, "endless"), home)
    wait_for(path)
    after = publish(following(path), home)
    assert after.desired.concepts == alone.desired.concepts != ()
    assert after.desired.request_ids == ("endless",)


def test_a_withdrawal_that_was_not_proven_is_told_every_night_and_not_tried_again(home: Path, tmp_path: Path) -> None:
    """Another try costs confidence; no service is asked."""
    order = publish(path := ending(tmp_path), home)
    wait_for(path)
    failed = handed_in(following(path), home)
    note(failed, Step.VERIFIED, {}, {}, {"outcome": "PASS", "reasons": []})
    said = {"outcome": "FAIL", "failed": ["bicycle is not back"], "reasons": ["bicycle is not back"]}
    note(failed, Step.RETURNED, {}, {}, said)
    before = journal(home, order.line).receipts()
    for _ in range(2):
        (told,) = withdraw_expired([order.line], Settings(home, "", "", ""))
        assert told["exit_code"] == 4
        assert "first expired and is not put back: bicycle is not back. Submit " in told["problem"]
    assert journal(home, order.line).receipts() == before


def test_a_withdrawal_that_a_person_refused_is_not_tried_again(home: Path, tmp_path: Path) -> None:
    order = publish(path := ending(tmp_path), home)
    wait_for(path)
    refused = handed_in(following(path), home)
    said = {"outcome": "refused", "by": "bob", "reason": "The order was prolonged.", "reasons": ["prolonged"]}
    note(refused, Step.REFUSED, {"policy": refused.policy}, {}, said)
    before = journal(home, order.line).receipts()
    assert withdraw_expired([order.line], Settings(home, "", "", "")) == []
    assert journal(home, order.line).receipts() == before


def test_attack_an_early_try_keeps_the_withdrawal_from_being_made_in_time(home: Path, tmp_path: Path) -> None:
    """What was refused at the door is tried again; here it fails for want of services alone."""
    order = publish(path := ending(tmp_path, seconds=3), home)
    with pytest.raises(PolicyError, match="first holds until"):
        handed_in(following(path), home)
    wait_for(path)
    nowhere = "http://127.0.0.1:9"
    (told,) = withdraw_expired([order.line], Settings(home, nowhere, nowhere, nowhere))
    assert (told["exit_code"], "holds until" in told["problem"]) == (8, False), told
