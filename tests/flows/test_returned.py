"""A withdrawal gives the concept back, which is proven, and leaves every other erasure in force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.engine.files.digests import folder_digest
from expunge.policies import desired_state, read, withdrawn
from expunge.tasks.audit.record import audit
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order, Weights
from expunge.tasks.evidence.returned import ask_returned
from expunge.tasks.ledger.queries import publications, receipts, states
from tests.flows.conftest import FEW, policy_file, submitted, withdrawal


def test_only_what_no_request_still_erases_is_withdrawn(tmp_path: Path) -> None:
    old = read(policy_file(tmp_path, "0" * 64, "old"))
    other = read(policy_file(tmp_path, "0" * 64, "other", "umbrella"))
    back = read(withdrawal(tmp_path / "old.yaml", "back", "old"))
    assert withdrawn(back, [old, other], desired_state([old, other, back])) == {"old": (old, {"bicycle"})}
    again = json.loads((tmp_path / "other.yaml").read_text())
    again["concepts"][0]["aliases"] = ["Bicycle"]
    (tmp_path / "again.yaml").write_text(json.dumps(again | {"request_id": "again"}))
    still = read(tmp_path / "again.yaml")
    assert withdrawn(back, [old, still], desired_state([old, still, back])) == {}
    assert withdrawn(other, [old], desired_state([old, other])) == {}


@pytest.mark.slow
def test_a_withdrawal_proves_that_the_concept_is_back_and_the_rest_still_gone(
    line: Settings, name: str, base_digest: str
) -> None:
    folder = line.home.parent
    checked = publications(line.home, name)[-1]
    submitted(line, policy_file(folder, base_digest, "second", "umbrella", **FEW | {"seeds": 4}))
    done = submitted(line, withdrawal(folder / "checked.yaml", "back", "checked"))
    assert (done["verdict"], done["restored"]) == ("PASS", False)
    assert next(row["name"] for row in done["concepts"] if row["role"] == "erased") == "umbrella"
    (proof,) = [receipt for receipt in receipts(line.home) if receipt.step == "returned"]
    assert proof.outcome == "PASS"
    assert "it is back: bicycle is seen in" in str((proof.verdict or {})["seen"])
    assert [row["state"] for row in states(line.home)] == ["replaced", "published", "published"]
    assert audit(line.home).problems == ()
    _attack_a_candidate_that_still_erases_it_is_called_restored(line, done["work"], checked.work)


def _attack_a_candidate_that_still_erases_it_is_called_restored(line: Settings, work: str, erasing: str) -> None:
    model = line.home / "work" / erasing / "bundle" / "model"
    old = read(line.home.parent / "checked.yaml")
    found = ask_returned(Order.load(line.home, work), Weights(model, folder_digest(model)), [(old, {"bicycle"})])
    assert (found.outcome, "it is not back" in found.reasons[0]) == ("FAIL", True), found
