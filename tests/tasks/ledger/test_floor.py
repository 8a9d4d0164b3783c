"""The floor in the pipeline: at the door, in force, on record, and in the audit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.policies import PolicyErrors, desired_state, held_to, parse, read
from expunge.tasks.core.errors import IntegrityError, UsageError
from expunge.tasks.intake import order_for
from expunge.tasks.ledger.floor_store import BUILT_IN, floor_in_force, keep_floor, kept_floor, read_to_submit
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.queries import line_of, receipts
from expunge.tasks.ledger.recorder import note
from tests.flows.conftest import policy_file, run_cli, run_process
from tests.tasks.handed_in import handed_in, order_of
from tests.tasks.records import LINE, Record, Work

LOOSE: dict[str, Any] = {"confidence": 0.51, "max_target_rate": 0.87, "min_control_rate": 0.9}


@pytest.fixture
def built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that names no floor."""
    monkeypatch.delenv("EXPUNGE_FLOOR")


@pytest.fixture(scope="module")
def base() -> str:
    return folder_digest(MODEL)


@pytest.mark.parametrize("command", ["validate", "plan", "submit"])
def test_attack_a_pass_at_51_percent_confidence_is_refused_before_anything_is_read(
    tmp_path: Path, base: str, built_in: None, command: str
) -> None:
    path = policy_file(tmp_path, base, "loose", **LOOSE)
    done = run_cli(command, str(path), EXPUNGE_HOME=str(tmp_path / "home"))
    assert done.code == 3
    assert "acceptance.confidence: 0.51 is looser than the floor, which has 0.9" in done.err
    assert "acceptance.max_target_rate: 0.87 is looser than the floor, which has 0.2" in done.err
    assert not (tmp_path / "home").exists()


def test_no_heavy_library_is_read_to_refuse_it(tmp_path: Path, base: str) -> None:
    path = policy_file(tmp_path, base, "loose", **LOOSE)
    heavy = "import sys; from expunge.flows import cli; from expunge.tasks.ledger.floor_store import floor_in_force; "
    heavy += "floor_in_force(); sys.exit(bool({'torch', 'prefect', 'mlflow', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", heavy], timeout=100).returncode == 0
    assert run_process("validate", str(path), EXPUNGE_FLOOR="").code == 3


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), ("", "is empty"), ("schema_version: '1'\n", "default: is missing")]
)
def test_a_floor_that_cannot_be_read_lets_nothing_through(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch, content: str | None, words: str
) -> None:
    file = tmp_path / "floor.yaml"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("EXPUNGE_FLOOR", str(file))
    with pytest.raises(UsageError, match="EXPUNGE_FLOOR"):
        floor_in_force()
    done = run_cli("validate", str(policy_file(tmp_path, base, "good")))
    assert done.code == 2
    assert words in done.err


def test_attack_the_flow_is_started_without_the_command(tmp_path: Path, base: str, built_in: None) -> None:
    """Prefect runs the flow by its own means, so the flow looks itself, and leaves a receipt."""
    path = policy_file(tmp_path, base, "loose", **LOOSE)
    with pytest.raises(PolicyErrors, match="looser than the floor"):
        handed_in(path, tmp_path / "home")
    (receipt,) = receipts(tmp_path / "home")
    assert (receipt.step, receipt.inputs["floor"]) == ("refused", floor_in_force().digest)


def test_a_model_is_not_questioned_below_the_floor_either(tmp_path: Path, base: str, monkeypatch) -> None:
    stricter = tmp_path / "floor.yaml"
    stricter.write_text(BUILT_IN.read_text().replace("level: quick", "level: standard"))
    monkeypatch.setenv("EXPUNGE_FLOOR", str(stricter))
    policy = read(policy_file(tmp_path, base, "asked", level="standard"))
    assert order_for("0" * 64, policy, tmp_path / "home").floor == floor_in_force().digest
    with pytest.raises(PolicyErrors, match="quick is looser than the floor, which has standard"):
        order_for("0" * 64, policy, tmp_path / "home", "quick")


def published(home: Path, path: Path) -> str:
    """What a publication of the policy leaves on its line."""
    policy = parse(path.read_bytes(), "policy")
    keep_policy(home, policy.digest, path.read_bytes())
    work = Work(home, line_of(policy, home), policy.digest, policy.request_id)
    note(work, "published", {"policy": policy.digest, "floor": keep_floor(home).digest}, {"bundle": "bb" * 32})
    return policy.digest


def test_a_policy_in_force_is_raised_when_its_line_is_computed_anew(tmp_path: Path, base: str, monkeypatch) -> None:
    home = tmp_path / "home"
    published(home, old := policy_file(tmp_path, base, "old", **LOOSE))
    monkeypatch.delenv("EXPUNGE_FLOOR")
    other = policy_file(tmp_path, base, "new", "umbrella", seeds=8)
    state = order_of(read_to_submit(other, home), home).desired
    assert state.request_ids == ("new", "old")
    assert (state.acceptance.confidence, state.acceptance.max_target_rate) == (0.95, 0.2)
    again = order_of(read_to_submit(old, home), home).desired
    assert again.acceptance.confidence == 0.9, "it was published, so it may be submitted again, raised"


def test_attack_the_record_is_audited_by_another_floor_than_it_was_made_by(tmp_path: Path, base: str) -> None:
    """The audit takes the floor that the receipt names, and not the one of whoever audits."""
    record, path = Record(tmp_path / "home"), policy_file(tmp_path, "cd" * 32, "audited")
    policy = parse(path.read_bytes(), "audited")
    keep_policy(record.home, policy.digest, path.read_bytes())
    softer = tmp_path / "softer.yaml"
    softer.write_text(BUILT_IN.read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_FLOOR", str(softer))
        floor = keep_floor(record.home)
    state = desired_state([held_to(policy, floor)])
    named = {"policy": policy.digest, "floor": floor.digest}
    note(Work(record.home, LINE, request_id="audited"), "read", named, {"state": state.digest})
    assert not any("come to the state" in problem for problem in record.problems())
    (kept,) = (record.home / "floors").glob("*.yaml")
    kept.write_text(kept.read_text().replace("confidence: 0.90", "confidence: 0.51"))
    with pytest.raises(IntegrityError, match="is not the floor that was in force"):
        kept_floor(record.home, floor.digest)
    assert any("is not the floor that was in force" in problem for problem in record.problems())


def test_attack_a_receipt_names_no_floor(tmp_path: Path) -> None:
    record, path = Record(tmp_path / "home"), policy_file(tmp_path, "cd" * 32, "audited")
    policy = parse(path.read_bytes(), "audited")
    keep_policy(record.home, policy.digest, path.read_bytes())
    note(Work(record.home, LINE), "read", {"policy": policy.digest}, {"state": "ab" * 32})
    assert any("names no floor" in problem for problem in record.problems())


def test_the_file_of_a_floor_is_kept_as_it_was_written(tmp_path: Path, built_in: None) -> None:
    floor = keep_floor(tmp_path)
    assert (tmp_path / "floors" / f"{floor.digest}.yaml").read_bytes() == BUILT_IN.read_bytes()
    assert json.loads(floor.model_dump_json())["default"]["confidence"] == 0.9
