"""The command line refuses bad input with one clear message on stderr, its own exit code, and nothing done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from expunge.flows.cli import app, show
from expunge.tasks.core.settings import SILENCE
from tests.flows.conftest import NO_SERVICES, WritePolicy, edited_by, run_cli, run_process


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))


def test_validate_says_what_is_asked_for(write_policy: WritePolicy) -> None:
    done = run_process("validate", str(write_policy("good")), "--json")
    assert done.code == 0
    assert [item["name"] for item in done.data["erase"]] == ["bicycle"]


def test_a_misspelt_field_is_3_with_line_field_and_cure(write_policy: WritePolicy) -> None:
    path = write_policy("bad")
    path.write_text(path.read_text().replace('"concepts"', '"concept"'))
    done = run_cli("validate", str(path))
    assert done.code == 3
    assert done.out == ""
    assert "concepts" in done.err
    assert f"{path}:1" in done.err


def test_a_missing_file_is_2(tmp_path: Path) -> None:
    assert run_cli("validate", str(tmp_path / "none.yaml")).code == 2
    assert run_cli("frobnicate").code == 2


def test_plan_shows_the_edit_and_records_nothing(write_policy: WritePolicy, tmp_path: Path) -> None:
    done = run_cli("plan", str(write_policy("dry")), "--json")
    assert done.code == 0, done.err
    assert done.data["pictures"] > 0
    assert done.data["largest_change"] <= done.data["limit"]
    assert not (tmp_path / "home" / "receipts").exists()


def test_a_plan_beyond_the_limit_is_4(write_policy: WritePolicy) -> None:
    path = write_policy("wide")
    policy = json.loads(path.read_text())
    policy["limits"] = {"max_weight_delta": 0.0001}
    path.write_text(json.dumps(policy))
    done = run_cli("plan", str(path))
    assert done.code == 4
    assert "limits.max_weight_delta" in done.err


def test_another_base_is_6(write_policy: WritePolicy, base_digest: str) -> None:
    path = write_policy("other-base")
    path.write_text(path.read_text().replace(base_digest, "0" * 64))
    done = run_cli("plan", str(path))
    assert done.code == 6
    assert "base.sha256" in done.err
    assert "Traceback" not in done.err


def test_an_unknown_editor_setting_is_3(write_policy: WritePolicy) -> None:
    path = edited_by(write_policy("setting"), "scapre", {"strenght": 2.0})
    done = run_cli("plan", str(path))
    assert done.code == 3
    assert "strength" in done.err


def test_services_that_do_not_answer_are_8_before_any_work(write_policy: WritePolicy, tmp_path: Path) -> None:
    done = run_cli("submit", str(write_policy("alone")), **NO_SERVICES)
    assert done.code == 8
    assert "make up" in done.err
    assert not (tmp_path / "home" / "work").exists()


@pytest.mark.parametrize("command", ["status", "plan", "submit"])
def test_a_home_that_is_a_file_is_2_with_its_cure(write_policy: WritePolicy, tmp_path: Path, command: str) -> None:
    (file := tmp_path / "file").touch()
    done = run_cli(command, str(write_policy("homeless")), EXPUNGE_HOME=str(file))
    assert (done.code, done.out) == (2, "")
    assert f"{file} is no folder: set EXPUNGE_HOME" in done.err
    assert "Traceback" not in done.err


def test_no_library_is_loaded_before_it_was_told_to_report_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Prefect reports its first import to its makers, unless it was told not to."""
    for name in SILENCE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path))
    program = f"""
import os, sys
from expunge.flows import cli
assert not {{"prefect", "mlflow", "great_expectations"}} & set(sys.modules)
sys.argv[1:] = ["status"]
try:
    cli.main()
finally:
    print(*(os.environ[name] for name in {list(SILENCE)}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.split() == [*list(SILENCE.values())[:-1], "1"], "what the environment says stays"


def test_a_long_request_id_is_shown_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "request_id": "r" * 64,
        "line": "line",
        "state": "published",
        "verdict": "PASS",
        "at": "2026-01-01T00:00:00Z",
    }
    row |= {"due": "2026-01-02T00:00:00Z", "term": "", "met": "", "late": True, "receipt": "a" * 64}
    show.print_states(
        {"home": "home", "notices": [], "problems": [], "database": [], "requests": [defaultdict(str, row)]}
    )
    assert "r" * 64 in capsys.readouterr().out


def test_an_empty_record_is_an_empty_list(tmp_path: Path) -> None:
    (home := tmp_path / "home").mkdir()
    empty = {"home": str(home), "notices": [], "requests": [], "problems": [], "database": [], "exit_code": 0}
    assert run_cli("status", "--json").data == {**empty, "old": None}


def test_a_report_of_nothing_is_refused(write_policy: WritePolicy) -> None:
    done = run_cli("report", str(write_policy("unknown")))
    assert done.code == 2
    assert "submit it first" in done.err


def test_an_error_is_one_json_object_where_json_was_asked_for(write_policy: WritePolicy) -> None:
    path = write_policy("bad")
    path.write_text(path.read_text().replace('"concepts"', '"concept"'))
    done = run_cli("validate", str(path), "--json")
    assert (done.code, done.out) == (3, "")
    said = json.loads(done.err)
    assert (said["exit_code"], said["type"]) == (3, "PolicyErrors")
    assert {one["field"]: one["line"] for one in said["problems"]}["concept"] == 1
    assert all(one["cure"] for one in said["problems"])


def test_attack_a_fault_of_the_program_ends_json_in_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a \x1b[2J fault")

    monkeypatch.setattr("expunge.flows.history.states", broken)
    done = run_cli("status", "--json")
    assert (done.code, json.loads(done.err)["error"]) == (1, "a \x1b[2J fault")
    assert "\x1b" not in done.err


def test_every_command_has_an_example_that_the_shell_could_run() -> None:
    commands = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
    for name, command in commands.items():
        assert f"expunge {name}" in (command.epilog or ""), name


def test_a_shell_can_complete_commands() -> None:
    asked = {"_EXPUNGE_COMPLETE": "complete_bash", "COMP_WORDS": "expunge rec", "COMP_CWORD": "1"}
    done = CliRunner().invoke(app, [], env=asked, prog_name="expunge")
    assert done.stdout.split() == ["receive", "receipts", "reconcile"]
