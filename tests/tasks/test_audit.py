"""What somebody may do to the record of a takedown, and that `expunge audit` finds it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.canonical import canonical_json, sha256
from engine.digests import file_digest
from policies import desired_state, parse
from tasks.audit import audit
from tasks.errors import NothingOnRecord
from tasks.journal import journal
from tasks.kept import keep_policy
from tasks.receipts import Receipt
from tests.flows.conftest import policy_file
from tests.tasks.test_publish import make_bundle

LINE, WORK = "emoji-0", "ab" * 32
FILES = {"plan": "deltas.safetensors", "evidence": "evidence.parquet", "verdict": "verdict.json"}


@dataclass(frozen=True)
class Record:
    """A home with the record of one publication."""

    home: Path

    @property
    def chain(self) -> list[Receipt]:
        return journal(self.home, LINE).receipts()

    @property
    def work(self) -> Path:
        return self.home / "work" / WORK

    def problems(self, *noted: str) -> tuple[str, ...]:
        return audit(self.home, noted).problems

    def rewrite(self, forge: Callable[[dict], None], without: str = "") -> None:
        """Write the chain anew as somebody would who knows the format: every receipt follows the one before it."""
        told = [json.loads(receipt.content) for receipt in self.chain if receipt.step != without]
        shutil.rmtree(self.home / "receipts")
        for receipt in told:
            forge(receipt)
            parts = {name: receipt[name] for name in ("request_id", "who", "inputs", "outputs", "settings", "verdict")}
            journal(self.home, LINE).append(receipt["step"], **parts)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    home, work = tmp_path / "home", tmp_path / "home" / "work" / WORK
    data = policy_file(tmp_path, "cd" * 32, "audited").read_bytes()
    policy = parse(data, "audited")
    keep_policy(home, policy.digest, data)
    state = desired_state([policy])
    bundle = make_bundle(work / "bundle", b"weights")
    (work / "state.json").write_bytes(canonical_json(state.model_dump(mode="json")))
    for name, file in FILES.items():
        (work / file).write_bytes(name.encode())
    made = {name: file_digest(work / file) for name, file in FILES.items()}
    made |= {"policy": policy.digest, "state": state.digest, "candidate": "ef" * 32}
    made |= {"bundle": file_digest(bundle / "manifest.json")}
    steps = {
        "read": (("policy",), ("state",), None),
        "planned": (("state",), ("plan",), None),
        "erased": (("plan",), ("candidate",), None),
        "verified": (("candidate",), ("evidence", "verdict"), {"outcome": "PASS", "reasons": []}),
        "gated": (("evidence", "verdict"), (), {"outcome": "open", "failed": []}),
        "bundled": (("candidate", "verdict", "evidence"), ("bundle",), None),
        "published": (("policy", "state", "verdict"), ("bundle",), None),
    }
    for step, (inputs, outputs, verdict) in steps.items():
        named = ({name: made[name] for name in names} for names in (inputs, outputs))
        told = dict(zip(("inputs", "outputs"), named, strict=True))
        journal(home, LINE).append(
            step, request_id="audited", who="x", settings={"work": WORK}, verdict=verdict, **told
        )
    return Record(home)


def test_a_record_that_nobody_touched_is_whole_and_says_what_to_note(record: Record) -> None:
    found = audit(record.home)
    assert found.problems == ()
    (line,) = found.lines
    assert (line.line, line.receipts, line.published, line.head) == (LINE, 7, 1, record.chain[-1].digest)
    assert record.problems(line.head, record.chain[2].digest) == ()


def test_where_nothing_is_on_record_nothing_is_whole(tmp_path: Path) -> None:
    with pytest.raises(NothingOnRecord, match="has no receipt"):
        audit(tmp_path)
    (tmp_path / "receipts" / LINE).mkdir(parents=True)
    with pytest.raises(NothingOnRecord, match="has no receipt"):
        audit(tmp_path)


def test_attack_a_receipt_is_altered(record: Record) -> None:
    path = next((record.home / "receipts" / LINE).glob("000004-*"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"PASS", b"FAIL"))
    assert any("altered" in problem for problem in record.problems())


@pytest.mark.parametrize("file", [*FILES.values(), "state.json"])
def test_attack_a_file_is_exchanged_or_removed(record: Record, file: str) -> None:
    (record.work / file).write_bytes(b"{}")
    (problem,) = record.problems()
    assert file in problem
    (record.work / file).unlink()
    (problem,) = record.problems()
    assert problem.endswith(f"{file} is missing")


def test_attack_the_weights_in_the_bundle_are_exchanged(record: Record) -> None:
    (record.work / "bundle" / "unet" / "model.safetensors").write_bytes(b"others")
    (problem,) = record.problems()
    assert "receipt 6 (bundled audited)" in problem
    shutil.rmtree(record.work / "bundle")
    (problem,) = record.problems()
    assert "receipt 6 (bundled audited)" in problem


def test_attack_the_policy_is_softened_or_removed(record: Record) -> None:
    (path,) = (record.home / "policies").iterdir()
    path.write_bytes(path.read_bytes().replace(b"0.2,", b"0.9,"))
    (problem,) = record.problems()
    assert "not the policy in force that was received" in problem
    path.unlink()
    assert len(record.problems()) == 1


@pytest.mark.parametrize(
    ("step", "told"), [("verified", {"outcome": "FAIL", "reasons": []}), ("gated", {"outcome": "shut", "failed": []})]
)
def test_attack_something_is_published_that_did_not_pass(record: Record, step: str, told: dict) -> None:
    record.rewrite(lambda receipt: receipt.update(verdict=told) if receipt["step"] == step else None)
    (problem,) = record.problems()
    assert f"({step} audited), which says {told['outcome']}" in problem


@pytest.mark.parametrize("step", ["read", "planned", "erased", "verified", "gated", "bundled"])
def test_attack_something_is_published_without_a_step(record: Record, step: str) -> None:
    record.rewrite(lambda receipt: None, without=step)
    (problem,) = record.problems()
    assert f"of the step '{step}' that it rests on" in problem


def test_attack_another_verdict_is_slipped_under_a_publication(record: Record) -> None:
    forged = sha256(b"a better one")

    def forge(receipt: dict) -> None:
        if receipt["step"] == "published":
            receipt["inputs"]["verdict"] = forged

    record.rewrite(forge)
    (problem,) = record.problems()
    assert "receipt 7 (published audited)" in problem


def test_attack_the_end_is_cut_off_and_only_who_noted_it_can_tell(record: Record) -> None:
    head = record.chain[-1].digest
    record.rewrite(lambda receipt: None, without="published")
    assert record.problems() == ()
    (problem,) = record.problems(head)
    assert head in problem
