"""What is no decision, no key and no question is said to be none, whichever way it differs."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from expunge.canonical_json import sha256
from expunge.flows.casework.approval import approve, refuse
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord, UsageError
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.decisions.envelope import (
    Decision,
    keep_decision,
    kept_decision,
    open_decision,
    registered_keys,
)
from expunge.tasks.ledger.decisions.record import NotApproved, approval_of
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import note
from tests.tasks.ledger.test_decisions import BUNDLE, Desk
from tests.tasks.ledger.test_decisions import desk as desk  # the fixture
from tests.tasks.records import Work

UNKNOWN_KIND = bytes.fromhex("300a300406022a0303020001")
"""A public key (DER) of the kind 1.2.3, which nobody knows."""
GIVEN: dict[str, Any] = {
    **{"outcome": "approved", "by": "bea", "line": "emoji", "request_id": "first"},
    **dict.fromkeys(("policy", "bundle", "nonce"), "a" * 64),
    "expires": datetime(2099, 1, 1, tzinfo=UTC),
}


@pytest.mark.parametrize(
    "signed",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{}",
        b'{"payload": 7}',
        b'{"payload": "", "payloadType": "x"}',
        b'{"payload": "", "payloadType": "x", "signatures": null}',
        b'{"payload": "", "payloadType": "x", "signatures": "none"}',
        b'{"payload": "", "payloadType": "x", "signatures": [7]}',
        b'{"payload": "", "payloadType": "x", "signatures": ["none"]}',
        b'{"payload": null, "payloadType": "x", "signatures": []}',
        b'{"payload": {}, "payloadType": "x", "signatures": []}',
    ],
)
def test_attack_a_file_is_no_signed_decision(signed: bytes) -> None:
    with pytest.raises(ValueError, match=r"^is no signed decision$"):
        open_decision(signed, {})


@pytest.mark.parametrize("key", ["", "no key", "AAAA", base64.b64encode(UNKNOWN_KIND).decode(), None, "ä"])
def test_a_key_of_the_floor_that_cannot_be_used_is_named(key: Any) -> None:
    with pytest.raises(UsageError, match="the floor's key of bea is no public key that can be used"):
        registered_keys({"bea": key})


def test_a_decision_cannot_be_changed() -> None:
    decision = Decision.model_validate(GIVEN)
    with pytest.raises(ValidationError, match="frozen"):
        decision.outcome = "refused"  # type: ignore[misc]


def test_attack_a_kept_decision_is_altered_removed_or_no_file(tmp_path: Path) -> None:
    digest = keep_decision(tmp_path, b"signed")
    assert digest == sha256(b"signed")
    assert kept_decision(tmp_path, digest) == b"signed"
    path = tmp_path / "decisions" / f"{digest}.json"
    path.chmod(0o644)
    path.write_bytes(b"others")
    with pytest.raises(IntegrityError, match="is not the decision that was signed"):
        kept_decision(tmp_path, digest)
    path.unlink()
    with pytest.raises(IntegrityError, match="is not the decision that was signed"):
        kept_decision(tmp_path, digest)
    path.mkdir()
    with pytest.raises(IntegrityError, match="is not the decision that was signed"):
        kept_decision(tmp_path, digest)


@pytest.mark.parametrize("name", ["line", "request_id", "policy", "bundle", "nonce"])
@pytest.mark.parametrize("sign", ["0", "f"])
def test_attack_an_approval_is_of_something_smaller_or_larger(desk: Desk, name: str, sign: str) -> None:
    case = desk.submitted()
    other = sign * 64 if name in ("policy", "bundle", "nonce") else {"0": "0", "f": "zz"}[sign]
    desk.forged(case, **{name: other})
    with pytest.raises(NotApproved, match=f"the approval is for the {name} {other}, asked for was"):
        approval_of(open_case(case.order), BUNDLE)


@pytest.mark.parametrize("other", ["aaa", "zzz"])
def test_who_handed_in_another_request_may_decide_on_this_one(desk: Desk, other: str) -> None:
    case = desk.submitted()
    desk.patch.setenv("EXPUNGE_ACTOR", "bea")
    note(Work(desk.home, case.order.line, "1" * 64, other), Step.READ, {}, {})
    assert approve(desk.home, "first", desk.key("bea"))["by"] == "bea"


def test_a_reason_has_at_least_one_character(desk: Desk) -> None:
    desk.submitted()
    with pytest.raises(UsageError, match="--reason has to say why"):
        refuse(desk.home, "first", "  \n ", desk.key("bea"))
    assert refuse(desk.home, "first", "x", desk.key("bea"))["reason"] == "x"


def test_a_request_that_does_not_wait_is_named_with_what_cannot_be_read(desk: Desk) -> None:
    case = desk.submitted()
    with pytest.raises(NothingOnRecord, match=r"^no request 'none' waits for a decision: see"):
        approve(desk.home, "none", desk.key("bea"))
    last = max((desk.home / "receipts" / case.order.line).iterdir())
    last.chmod(0o644)
    last.write_bytes(b"{}")
    with pytest.raises(NothingOnRecord, match=rf"waits for a decision \(the ledger of {case.order.line} does not hold"):
        approve(desk.home, "none", desk.key("bea"))
