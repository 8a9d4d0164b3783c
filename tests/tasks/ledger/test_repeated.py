"""A request that asks what another one asked is set aside only where that one is in force, and says so for ever."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.flows.casework.counter import counter
from expunge.flows.casework.notices import list_due
from expunge.flows.history import write_report
from expunge.policies import Policy, read
from expunge.tasks.audit.record import audit
from expunge.tasks.core.errors import NothingOnRecord
from expunge.tasks.intake import note_repeated, repeated
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.queries import line_of, publications, states
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import AtTheDoor, journal, note
from tests.flows.conftest import policy_file, withdrawal
from tests.tasks.handed_in import handed_in
from tests.tasks.ledger.test_counters import letter

DIGEST = folder_digest(MODEL)


def asked(folder: Path, request_id: str, **changed: Any) -> Path:
    """A policy file; `changed` are fields by name, of acceptance where it has them."""
    path = policy_file(folder, DIGEST, request_id)
    policy = json.loads(path.read_text()) | {name: value for name, value in changed.items() if name != "seeds"}
    policy["acceptance"] |= {name: value for name, value in changed.items() if name == "seeds"}
    path.write_text(json.dumps(policy))
    return path


def publish(path: Path, home: Path) -> Policy:
    """Put on record that a policy was taken in and published."""
    order = handed_in(path, home)
    inputs = {"policy": order.policy, "state": order.state, "floor": order.floor}
    note(order, "published", inputs, {"bundle": order.key})
    return read(path)


def found_for(path: Path, home: Path) -> Receipt | None:
    policy = read(path)
    return repeated(policy, journal(home, line_of(policy, home)), home)


def first_of(path: Path, home: Path) -> str | None:
    found = found_for(path, home)
    return found and found.request_id


def set_aside(path: Path, home: Path) -> Receipt:
    found, policy = found_for(path, home), read(path)
    assert found is not None
    return note_repeated(policy, path.read_bytes(), home, found, journal(home, line_of(policy, home)))


def problems(home: Path) -> list[str]:
    """What the audit finds about requests that were set aside; the publications here have no bundles."""
    return [problem for problem in audit(home).problems if "(repeated " in problem]


def test_the_receipt_of_reading_carries_the_digest_of_the_file_that_was_handed_in(tmp_path: Path) -> None:
    path = asked(tmp_path, "first")
    order = handed_in(path, tmp_path / "home")
    (receipt,) = journal(tmp_path / "home", order.line).receipts()
    assert (receipt.step, receipt.inputs["file"]) == ("read", file_digest(path))
    assert receipt.inputs["file"] != receipt.inputs["policy"]


def test_another_title_and_moment_are_the_same_request_and_another_limit_is_none(tmp_path: Path) -> None:
    home = tmp_path / "home"
    publish(asked(tmp_path, "first"), home)
    labels = {"title": "again", "description": "by another", "received_at": "2026-03-01T00:00:00Z"}
    assert first_of(asked(tmp_path, "second", **labels), home) == "first"
    assert first_of(asked(tmp_path, "stricter", seeds=9), home) is None
    assert first_of(asked(tmp_path, "other-law", kind="copyright"), home) is None
    more = [{"id": "owl", "name": "owl", "kind": "general", "category": "object"}]
    assert first_of(asked(tmp_path, "keeps-less", retain=more), home) is None


def test_what_is_only_accepted_is_no_reason_to_set_another_aside(tmp_path: Path) -> None:
    handed_in(asked(tmp_path, "first"), tmp_path / "home")
    assert first_of(asked(tmp_path, "second"), tmp_path / "home") is None


def test_the_status_names_the_request_by_which_it_is_in_force(tmp_path: Path) -> None:
    home = tmp_path / "home"
    publish(asked(tmp_path, "first"), home)
    set_aside(asked(tmp_path, "second"), home)
    first, second = states(home)
    assert (first["state"], first["same_as"]) == ("published", None)
    assert (second["state"], second["same_as"], second["reasons"]) == ("repeated", "first", ["first asked the same"])
    assert second["proof_due"] == first["proof_due"]
    with pytest.raises(NothingOnRecord, match="first asked the same and has the report"):
        write_report(home, read(tmp_path / "second.yaml"), None)


def test_a_request_that_was_in_force_when_it_came_in_never_becomes_late(tmp_path: Path) -> None:
    home, now = tmp_path / "home", datetime.now(UTC)
    received = {"kind": "ncii", "received_at": (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
    publish(asked(tmp_path, "first", **received), home)
    set_aside(asked(tmp_path, "second", **received), home)
    assert [row["late"] for row in states(home, now=now + timedelta(days=30))] == [False, False]


def test_attack_the_first_request_is_withdrawn_so_that_the_second_is_forgotten(tmp_path: Path) -> None:
    """It is told as replaced, not as in force, and submitted again it is carried out."""
    home, path = tmp_path / "home", asked(tmp_path, "first")
    publish(path, home)
    second = asked(tmp_path, "second")
    set_aside(second, home)
    publish(withdrawal(path, "away", "first"), home)
    told = {row["request_id"]: (row["state"], row["reasons"]) for row in states(home)}
    assert told["second"] == ("replaced", ["by away, as first, which asked the same"])
    assert found_for(second, home) is None
    publish(second, home)
    told = {row["request_id"]: row["state"] for row in states(home)}
    assert told == {"first": "replaced", "away": "published", "second": "published"}
    assert problems(home) == []


def test_attack_another_owner_relies_on_what_a_counter_notice_puts_back(tmp_path: Path) -> None:
    """Set aside by it, the request of the other owner would end with it, and nobody would be told."""
    home = tmp_path / "home"
    publish(path := asked(tmp_path, "first", kind="copyright"), home)
    early, late = (asked(tmp_path, name, kind="copyright") for name in ("early", "late"))
    set_aside(early, home)
    counter("first", letter(tmp_path, "reply"), None, home)
    assert first_of(late, home) is None
    publish(withdrawal(path, "away", "first"), home)
    assert [(row["request_id"], row["state"]) for row in list_due(home)["due"]] == [("early", "replaced")]
    publish(early, home)
    assert list_due(home)["due"] == []


def test_attack_a_countered_request_is_set_aside_as_done_by_another(tmp_path: Path) -> None:
    home = tmp_path / "home"
    publish(asked(tmp_path, "first", kind="copyright"), home)
    second = asked(tmp_path, "second", kind="copyright")
    assert first_of(second, home) == "first"
    handed_in(second, home)
    counter("second", letter(tmp_path, "reply"), None, home)
    assert first_of(second, home) is None


def test_attack_a_request_that_was_replaced_comes_back_as_a_repetition(tmp_path: Path) -> None:
    """It has to be refused, as everything under its id, though another request asks the same."""
    home = tmp_path / "home"
    publish(asked(tmp_path, "first"), home)
    gone = asked(tmp_path, "gone", seeds=9)
    publish(gone, home)
    publish(withdrawal(gone, "away", "gone"), home)
    assert first_of(asked(tmp_path, "gone"), home) is None


def test_attack_a_policy_below_the_floor_hides_behind_one_that_was_published_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    publish(asked(tmp_path, "first"), home)
    second = asked(tmp_path, "second")
    assert first_of(second, home) == "first", "the positive control"
    floor = tmp_path / "floor.yaml"
    floor.write_text(Path(os.environ["EXPUNGE_FLOOR"]).read_text().replace("seeds: 1\n", "seeds: 100\n"))
    monkeypatch.setenv("EXPUNGE_FLOOR", str(floor))
    assert first_of(second, home) is None


def test_attack_a_signed_receipt_sets_a_request_aside_that_nobody_had_asked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    publish(asked(tmp_path, "first"), home)
    path = asked(tmp_path, "unheard", seeds=9)
    policy = read(path)
    keep_policy(home, policy.digest, path.read_bytes())
    line = line_of(policy, home)
    named = {"policy": policy.digest, "publication": publications(home, line)[-1].digest}
    told = {"outcome": "repeated", "request": "first", "reasons": []}
    note(AtTheDoor(home, line, policy), "repeated", named, {}, told)
    (problem,) = problems(home)
    assert "no request in force that it names had asked the same" in problem


def test_attack_a_request_is_set_aside_by_one_that_came_after_it(tmp_path: Path) -> None:
    """What it names must have been in force when it was set aside."""
    home, path = tmp_path / "home", asked(tmp_path, "early")
    policy = read(path)
    keep_policy(home, policy.digest, path.read_bytes())
    publish(asked(tmp_path, "other", seeds=9), home)
    line = line_of(policy, home)
    told = {"outcome": "repeated", "request": "first", "reasons": []}
    note(AtTheDoor(home, line, policy), "repeated", {"policy": policy.digest, "publication": "0" * 64}, {}, told)
    publish(asked(tmp_path, "first"), home)
    assert len(problems(home)) == 1
