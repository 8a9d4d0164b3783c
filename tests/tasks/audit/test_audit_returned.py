"""A withdrawal beside which something stays erased rests on the proof that what it gives back is back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.policies import desired_state, parse
from expunge.tasks.audit.provenance import unfounded
from expunge.tasks.ledger.floor_store import keep_floor
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from tests.flows.conftest import policy_file, withdrawal

LINE = "emoji-0"
STEPS: dict[str, tuple[tuple[str, ...], tuple[str, ...], dict[str, Any] | None]] = {
    "read": (("policy", "floor"), ("state",), None),
    "planned": (("state",), ("plan",), None),
    "erased": (("plan",), ("candidate",), None),
    "verified": (("candidate",), ("evidence", "verdict"), {"outcome": "PASS", "reasons": []}),
    "gated": (("evidence", "verdict"), (), {"outcome": "open", "failed": []}),
    "returned": (("candidate",), ("returned",), {"outcome": "PASS", "reasons": []}),
    "bundled": (("candidate", "verdict", "evidence"), ("bundle",), None),
    "published": (("policy", "state", "floor", "verdict"), ("bundle",), None),
}


def problems(folder: Path, version: str, **changed: Any) -> list[str]:
    """What the audit finds under a withdrawal; `changed` are steps with another verdict, None where there is none."""
    home, base = folder / "home", "cd" * 32
    first = policy_file(folder, base, "first")
    files = [first, policy_file(folder, base, "second", "umbrella"), withdrawal(first, "back", "first")]
    policies = [parse(file.read_bytes(), file.name) for file in files]
    for policy, file in zip(policies, files, strict=True):
        keep_policy(home, policy.digest, file.read_bytes())
    floor, chain = keep_floor(home).digest, list[Receipt]()
    for number, policy in enumerate(policies):
        made = {
            name: f"{number}{place}" * 32 for place, name in enumerate(("plan", "candidate", "evidence", "verdict"))
        }
        made |= {"bundle": f"{number}a" * 32, "returned": f"{number}b" * 32, "floor": floor, "policy": policy.digest}
        made["state"] = desired_state(policies[: number + 1]).digest
        for step, (inputs, outputs, verdict) in STEPS.items():
            verdict = changed.get(step, verdict) if policy is policies[-1] else verdict
            if step == "returned" and verdict is None:
                continue
            named = [{name: made[name] for name in names} for names in (inputs, outputs)]
            said: dict[str, Any] = {"settings": {"work": made["bundle"]}, "versions": {"expunge": version}}
            said |= {"request_id": policy.request_id, "who": "x", "verdict": verdict}
            chain.append(journal(home, LINE).append(step, inputs=named[0], outputs=named[1], **said))
    return list(unfounded(home, chain[-1], chain[:-1]))


def test_a_withdrawal_that_proved_it_is_founded(tmp_path: Path) -> None:
    assert problems(tmp_path, "0.21.0") == []


def test_attack_nobody_proved_that_it_is_back(tmp_path: Path) -> None:
    assert any(
        "nobody proved that what first had erased is back" in one for one in problems(tmp_path, "0.21.0", returned=None)
    )


@pytest.mark.parametrize("version", ["0.20.0", "0.21.0"])
def test_attack_it_was_published_though_it_is_not_back(tmp_path: Path, version: str) -> None:
    failed = {"outcome": "FAIL", "reasons": ["it is not back"]}
    assert any("which says FAIL" in one for one in problems(tmp_path, version, returned=failed))


def test_a_record_of_before_there_was_the_proof_stays_whole(tmp_path: Path) -> None:
    assert problems(tmp_path, "0.20.0", returned=None) == []
