"""Where there is no report to write, what came of the policy is said instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.flows.history import states, write_report
from expunge.policies import Policy, read
from expunge.tasks.core.errors import NothingOnRecord
from expunge.tasks.core.work_order import Order
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.ledger.recorder import note
from tests.flows.conftest import policy_file

SHA = "e" * 64


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    path = policy_file(tmp_path, "cd" * 32, "one")
    keep_policy(tmp_path, read(path).digest, path.read_bytes())
    return read(path)


def order(home: Path, policy: Policy, key: str) -> Order:
    """Work that a policy came to, as far as it was read."""
    digests: dict[str, Any] = {"policy": policy.digest, "state": SHA, "base": SHA, "judge": SHA}
    made = Order(policy.request_id, line_of(policy, home), key, home, base_folder=home, judge_folder=home, **digests)
    made.save()
    note(made, "read", {"policy": policy.digest}, {"state": SHA})
    return made


def why(home: Path, policy: Policy) -> str:
    with pytest.raises(NothingOnRecord) as caught:
        write_report(home, policy, None)
    return str(caught.value)


def test_of_an_edit_whose_verdict_is_gone_it_is_lost(tmp_path: Path, policy: Policy) -> None:
    assert "submit it first" in why(tmp_path, policy)
    made = order(tmp_path, policy, "a" * 64)
    assert "it is accepted, submit it again to go on with it" in why(tmp_path, policy)
    note(made, "published", {"policy": policy.digest, "verdict": SHA}, {"bundle": SHA})
    assert "it was lost, see `expunge audit`" in why(tmp_path, policy)


def test_of_a_later_work_that_was_cut_short_it_is_how_far_that_came(tmp_path: Path, policy: Policy) -> None:
    note(order(tmp_path, policy, "a" * 64), "published", {"policy": policy.digest, "verdict": SHA}, {"bundle": SHA})
    later = order(tmp_path, policy, "b" * 64)
    assert "it is accepted, submit it again" in why(tmp_path, policy)
    note(later, "refused", {"policy": policy.digest}, {}, {"outcome": "refused", "reasons": ["too much"]})
    assert "it was rejected, too much" in why(tmp_path, policy)


def test_of_a_restored_base_there_is_none(tmp_path: Path, policy: Policy) -> None:
    note(order(tmp_path, policy, "a" * 64), "published", {"policy": policy.digest}, {"bundle": SHA})
    assert "it published the base" in why(tmp_path, policy)


def test_a_request_that_is_on_record_by_another_text_is_not_called_unknown(tmp_path: Path, policy: Policy) -> None:
    changed = policy.model_copy(update={"title": "with a comma, and another"})
    assert changed.digest != policy.digest
    assert states(tmp_path, changed)["requests"] == []
    note(order(tmp_path, policy, "a" * 64), "published", {"policy": policy.digest}, {"bundle": SHA})
    told = f"is on record, published, by another policy than this file .digest {policy.digest[:12]}"
    with pytest.raises(NothingOnRecord, match=told):
        states(tmp_path, changed)
    with pytest.raises(NothingOnRecord, match=told):
        write_report(tmp_path, changed, None)
    assert states(tmp_path, policy)["requests"]


def test_the_same_request_on_another_base_is_not_yet_on_record(tmp_path: Path, policy: Policy) -> None:
    note(order(tmp_path, policy, "a" * 64), "published", {"policy": policy.digest}, {"bundle": SHA})
    base = policy.base.model_copy(update={"sha256": "ef" * 32})
    assert states(tmp_path, policy.model_copy(update={"base": base}))["requests"] == []
    with pytest.raises(NothingOnRecord, match="submit it first"):
        write_report(tmp_path, policy.model_copy(update={"base": base}), None)
    with pytest.raises(NothingOnRecord, match="by another policy than this file"):
        states(tmp_path, policy.model_copy(update={"title": "another"}))
