"""A request that the flow refuses is on record as rejected, with the reason."""

from __future__ import annotations

import json
from pathlib import Path

from expunge.tasks.ledger.queries import receipts
from tests.flows.conftest import WritePolicy, run_cli


def test_a_category_that_the_judge_does_not_know_is_rejected_at_the_door_and_on_record(
    home: Path, write_policy: WritePolicy
) -> None:
    path = write_policy("unknown")
    policy = json.loads(path.read_text())
    policy["concepts"][0]["category"] = "identity"
    path.write_text(json.dumps(policy))
    assert run_cli("validate", str(path)).code == 0
    done = run_cli("submit", str(path))
    assert done.code == 3
    assert "concepts[0].category" in done.err
    assert [receipt.step for receipt in receipts(home)] == ["refused"]
    (row,) = run_cli("status", str(path), "--json").data["requests"]
    assert (row["request_id"], row["state"]) == ("unknown", "rejected")
    assert "identity" in str(row["reasons"])
    assert "the judge knows no category" in run_cli("status").out
    report = run_cli("report", str(path))
    assert report.code == 2
    assert "no verification on record here: it was rejected" in report.err
    assert "the judge knows no category" in report.err


def test_an_alias_too_long_for_the_encoder_is_valid_and_then_rejected_with_the_reason(
    home: Path, write_policy: WritePolicy
) -> None:
    path = write_policy("long-alias")
    policy = json.loads(path.read_text())
    policy["concepts"][0]["aliases"] = [" ".join(["velocipede"] * 15)]
    path.write_text(json.dumps(policy))
    assert run_cli("validate", str(path)).code == 0
    done = run_cli("submit", str(path))
    assert done.code == 3
    assert "the encoder reads 32" in done.err
    assert [receipt.step for receipt in receipts(home)] == ["read", "refused"]
    (row,) = run_cli("status", str(path), "--json").data["requests"]
    assert (row["request_id"], row["state"]) == ("long-alias", "rejected")
