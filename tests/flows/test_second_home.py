"""A second machine that shares S3 and the key alone: it has the whole record after one command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from expunge.flows.admission import refuse_early
from expunge.policies import read
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings
from tests.flows.conftest import NO_SERVICES, WritePolicy, run_cli
from tests.flows.test_cheap_checks import another_base
from tests.tasks.ledger.signatures.keys import write_key


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that signs on both machines."""
    monkeypatch.setenv("EXPUNGE_SIGNING_KEY", str(write_key(tmp_path, "operator")[0]))


@pytest.fixture
def refused(home: Path, operator: None, write_policy: WritePolicy, base_digest: str) -> Path:
    """The policy of a request that is on record, refused."""
    path = another_base(write_policy("refused"), base_digest)
    with pytest.raises(IntegrityError, match=r"base\.sha256"):
        refuse_early(path, read(path), Settings.load())
    return path


def test_a_new_machine_has_the_record_by_one_command(refused: Path, home: Path, tmp_path: Path) -> None:
    second = {"EXPUNGE_HOME": str(tmp_path / "second")}
    rebuilt = run_cli("rebuild", "--json", **second)
    assert rebuilt.code == 0, rebuilt.err
    assert (rebuilt.code, rebuilt.data["lines"], rebuilt.err) == (0, 1, ""), rebuilt.err
    here, there = run_cli("status", "--json").data, run_cli("status", "--json", **second).data
    assert there["requests"] == here["requests"]
    assert there["requests"][0]["state"] == "rejected"
    whole = run_cli("audit", "--stored", "--json", **second)
    assert (whole.code, whole.data["problems"]) == (0, []), whole.out


def test_both_machines_append_to_one_record(
    refused: Path, write_policy: WritePolicy, base_digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = os.environ["EXPUNGE_HOME"]
    for home, request in ((str(tmp_path / "second"), "second"), (first, "third")):
        monkeypatch.setenv("EXPUNGE_HOME", home)
        path = another_base(write_policy(request), base_digest)
        with pytest.raises(IntegrityError, match=r"base\.sha256"):
            refuse_early(path, read(path), Settings.load())
    requests = [row["request_id"] for row in run_cli("status", "--json").data["requests"]]
    assert requests == ["refused", "second", "third"]
    assert run_cli("audit", "--stored", "--json").data["problems"] == []


def test_without_s3_it_says_until_which_receipt_the_answer_holds(refused: Path) -> None:
    done = run_cli("rebuild", "--json", **NO_SERVICES)
    assert (done.code, done.data["lines"]) == (0, 1)
    assert "until receipt 1: S3 at http://127.0.0.1:9 does not answer" in done.err
