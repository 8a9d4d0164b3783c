"""What is refused at the door is refused before any heavy library is loaded; that takes under a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.flows.admission import refuse_early
from expunge.policies import read
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.queries import states
from expunge.tasks.ledger.signatures.signing import opened
from expunge.tasks.ledger.signatures.trust import trusted_keys
from expunge.tasks.storage.record.shared import RecordInS3
from expunge.tasks.storage.record_replica import differences
from tests.flows.conftest import NO_SERVICES, WritePolicy

HEAVY = {"torch", "diffusers", "transformers", "mlflow", "prefect", "great_expectations", "pandas", "scipy"}
RUN = """
import json, sys
from expunge.flows import cli
code = 0
try:
    cli.main()
except SystemExit as end:
    code = end.code
print(json.dumps({"code": code, "loaded": sorted(sys.modules)}))
"""


def run(home: Path, *words: str, **variables: str) -> tuple[int, set[str], str]:
    """Return the exit code of a command, which heavy libraries it loaded, and what it said on stderr."""
    environ = {**os.environ, "EXPUNGE_HOME": str(home), **variables}
    done = subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, env=environ, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["code"], HEAVY & set(found["loaded"]), done.stderr


def another_base(path: Path, digest: str) -> Path:
    path.write_text(path.read_text().replace(digest, "0" * 64))
    return path


@pytest.mark.parametrize("command", ["plan", "submit", "verify"])
def test_a_policy_error_loads_nothing(command: str, write_policy: WritePolicy, tmp_path: Path) -> None:
    path = write_policy("bad")
    path.write_text(path.read_text().replace('"concepts"', '"concept"'))
    words = ("verify", str(tmp_path), "--policy", str(path)) if command == "verify" else (command, str(path))
    code, loaded, said = run(tmp_path / "home", *words, **NO_SERVICES)
    assert (code, loaded, "concepts" in said) == (3, set(), True), said


def test_a_plan_on_another_base_loads_nothing(write_policy: WritePolicy, base_digest: str, tmp_path: Path) -> None:
    path = another_base(write_policy("other"), base_digest)
    code, loaded, said = run(tmp_path / "home", "plan", str(path))
    assert (code, loaded, "base.sha256" in said) == (6, set(), True), said


def test_a_plan_on_a_folder_that_is_missing_loads_nothing(write_policy: WritePolicy, tmp_path: Path) -> None:
    path = write_policy("missing")
    path.write_text(path.read_text().replace("builtin:emoji", f"file:{tmp_path / 'none'}"))
    code, loaded, said = run(tmp_path / "home", "plan", str(path), EXPUNGE_JUDGE=str(tmp_path))
    assert (code, loaded, "is no folder" in said) == (3, set(), True), said


def test_a_submission_on_another_base_whose_refusal_cannot_be_put_on_record_loads_nothing(
    write_policy: WritePolicy, base_digest: str, tmp_path: Path
) -> None:
    path = another_base(write_policy("other"), base_digest)
    code, loaded, said = run(tmp_path / "home", "submit", str(path), **NO_SERVICES)
    assert (code, loaded, "S3" in said) == (8, set(), True), said
    assert not (tmp_path / "home" / "receipts").exists()


def test_what_is_no_model_is_verified_by_nothing(write_policy: WritePolicy, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, loaded, said = run(tmp_path / "home", "verify", str(tmp_path / "empty"), "--policy", str(write_policy("any")))
    assert (code, loaded, "neither a bundle" in said) == (6, set(), True), said


def test_the_status_loads_nothing(write_policy: WritePolicy, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    code, loaded, said = run(tmp_path / "home", "status", str(write_policy("any")))
    assert (code, loaded) == (0, set()), said


def test_attack_a_refused_base_leaves_no_trace_of_the_request(
    home: Path, write_policy: WritePolicy, base_digest: str
) -> None:
    """Who hands in a policy that is refused early finds the refusal on record, as of any other, in S3 too."""
    path, settings = another_base(write_policy("other"), base_digest), Settings.load()
    with pytest.raises(IntegrityError, match=r"base\.sha256"):
        refuse_early(path, read(path), settings)
    (state,) = states(home)
    assert (state["request_id"], state["state"]) == ("other", "rejected")
    slot = RecordInS3.own(settings).slot(state["line"], 1)
    assert slot is not None
    assert opened(slot, trusted_keys(home)).digest == state["receipt"]
    assert list(differences(settings)) == []
