"""A policy expires on the real stack: the next night puts the concept back, and proves that the others still hold."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from expunge.flows.casework.approval import approve, refuse, waiting
from expunge.flows.casework.notify import events_of
from expunge.flows.publish import publish_approved
from expunge.flows.reverify import reverify_due
from expunge.policies import read, withdrawal_on_expiry
from expunge.tasks.audit.record import audit
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.queries import publications, receipts, states
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.storage.record_replica import differences
from tests.flows.conftest import FEW, policy_file, submitted
from tests.flows.lines import reset
from tests.tasks.ledger.signatures.keys import write_key
from tests.tasks.ledger.test_decisions import floor_for

pytestmark = pytest.mark.slow
HOLDS = timedelta(minutes=3)
"""Long enough that the erasure is published before it ends."""


@pytest.fixture
def expired(line: Settings, name: str, kept: Path, base_digest: str) -> Iterator[Path]:
    """A second policy is published beside the first, and its end has come."""
    reset(line, name, kept)
    path = policy_file(line.home.parent, base_digest, "brief", "umbrella", **FEW)
    until = datetime.now(UTC) + HOLDS
    path.write_text(json.dumps({**json.loads(path.read_text()), "expires_at": until.isoformat()}))
    assert submitted(line, path)["verdict"] == "PASS"
    time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 1)
    yield path
    path.unlink()


def state(line: Settings, request_id: str) -> str:
    return next(one["state"] for one in reversed(states(line.home)) if one["request_id"] == request_id)


def test_the_night_puts_back_what_expired_and_the_others_still_hold(line: Settings, name: str, expired: Path) -> None:
    follows = withdrawal_on_expiry(read(expired)).request_id
    assert reverify_due() == [], "what was published now is not due"
    assert [state(line, one) for one in ("checked", "brief", follows)] == ["published", "replaced", "published"]
    own = [one for one in receipts(line.home) if one.request_id == follows]
    (back,) = [one for one in own if one.step == Step.RETURNED]
    (proven,) = [one for one in own if one.step == Step.VERIFIED]
    assert (back.outcome, proven.outcome) == ("PASS", "PASS"), "umbrella is back, bicycle is gone"
    before = list(receipts(line.home))
    assert reverify_due() == []
    assert list(receipts(line.home)) == before, "it is done once"
    assert (audit(line.home).problems, list(differences(line))) == ((), [])


def test_where_the_floor_asks_a_person_is_told_and_decides(
    line: Settings, name: str, expired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key(tmp_path, "bob")
    monkeypatch.setenv("EXPUNGE_FLOOR", str(floor_for(tmp_path, "asks", {"trademark": ["bob"]})))
    follows, served = withdrawal_on_expiry(read(expired)).request_id, publications(line.home, name)
    reverify_due()
    assert (state(line, follows), publications(line.home, name)) == ("awaiting_approval", served)
    assert [one["request_id"] for one in waiting(line.home)] == [follows]
    assert "awaiting you" in {one.what for one in events_of(line.home, datetime.now(UTC))}
    before = list(receipts(line.home))
    reverify_due()
    assert list(receipts(line.home)) == before, "nobody is asked twice"
    refuse(line.home, follows, "The court prolonged its order.", tmp_path / "bob.pem")
    reverify_due()
    assert (state(line, follows), publications(line.home, name)) == ("rejected", served), "a person decided"
    submitted(line, line.home / "drafts" / f"{follows}.yaml")
    approve(line.home, follows, tmp_path / "bob.pem")
    assert publish_approved(follows, line)["exit_code"] == 0
    assert [state(line, one) for one in ("checked", "brief", follows)] == ["published", "replaced", "published"]
    assert audit(line.home).problems == ()
