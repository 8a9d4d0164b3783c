"""A worker of Prefect in a home of its own carries out what another machine asks for: takedown, refusal, reconcile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import temporary_settings

from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.flows.remote.queues import POOL
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3
from tests.flows.conftest import FEW, Finished, policy_file, prefect_at, run_process
from tests.postgres import BINARIES, running
from tests.tasks.ledger.signatures.keys import write_key

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BINARIES, reason="PostgreSQL is not installed: `apt-get install postgresql`"),
]
SECONDS = 300.0


@dataclass(frozen=True)
class Asker:
    """A machine that submits, and what its worker shares with it."""

    settings: Settings
    variables: Mapping[str, str]

    def run(self, *words: str) -> Finished:
        return run_process(*words, **self.variables)

    def reconcile(self, **parameters: Any) -> Any:
        """Start the deployment as Prefect's page does, and return the last state of its run."""
        with temporary_settings(prefect_at(self.variables)), get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name("reconcile/all")
            run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
            until = time.monotonic() + SECONDS
            while not (state := client.read_flow_run(run.id).state) or not state.is_final():
                assert time.monotonic() < until, f"the run did not end: {state}"
                time.sleep(1)
            return state


@contextmanager
def worker(folder: Path, variables: Mapping[str, str]) -> Iterator[Path]:
    """Start a worker as an operator does, and stop it in the end; yield the file of what it says."""
    command = [str(Path(sys.executable).parent / "prefect"), "worker", "start", "--pool", POOL, "--limit", "1"]
    log = folder / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={
                **os.environ,
                **variables,
                "PREFECT_HOME": str(folder / "prefect"),
                "PREFECT_WORKER_QUERY_SECONDS": "2",
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield log
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


@pytest.fixture(scope="module")
def asker(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """A machine whose deployments are entered, and beside it a worker in another home that waits for runs."""
    folder = tmp_path_factory.mktemp("remote")
    settings = replace(stack, bucket=f"remote-{uuid.uuid4().hex}")
    s3.client(stack).create_bucket(Bucket=settings.bucket)
    with running() as server:
        shared = {
            **settings.variables(),
            "EXPUNGE_DATABASE": server.new_database(),
            "EXPUNGE_SIGNING_KEY": str(write_key(folder, "operator")[0]),
            "EXPUNGE_ACTOR": "ada",
        }
        found = Asker(settings, {**shared, "EXPUNGE_HOME": str(folder / "asker")})
        assert found.run("deploy").code == 0
        with worker(folder, {**shared, "EXPUNGE_HOME": str(folder / "worker")}) as log:
            yield found
            assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return policy_file(tmp_path_factory.mktemp("policy"), folder_digest(MODEL), "asked", **FEW)


def test_a_worker_publishes_what_another_machine_submits_and_does_it_once(asker: Asker, policy: Path) -> None:
    first = asker.run("submit", "--remote", "--json", str(policy))
    assert (first.code, first.data["verdict"]) == (0, "PASS"), first.err
    assert [row["state"] for row in asker.run("status", "--json").data["requests"]] == ["published"]
    before = asker.run("receipts", "asked", "--json").data
    again = asker.run("submit", "--remote", "--json", str(policy))
    assert (again.code, again.data["bundle"]) == (0, first.data["bundle"])
    assert asker.run("receipts", "asked", "--json").data == before


def test_a_refusal_on_a_worker_has_the_exit_code_and_the_words_that_it_has_here(asker: Asker, tmp_path: Path) -> None:
    wrong = policy_file(tmp_path, "0" * 64, "wrong", **FEW)
    here, there = asker.run("submit", str(wrong)), asker.run("submit", "--remote", str(wrong))
    assert there.code == here.code != 0
    assert here.err.strip().splitlines()[-1] in there.err


def test_reconcile_on_a_worker_repairs_and_ends_failed_only_for_people(asker: Asker, policy: Path) -> None:
    assert asker.run("submit", "--remote", str(policy)).code == 0
    client = s3.client(asker.settings)
    number = s3.folders_under(client, asker.settings.bucket, "record/")[0]
    slot = sorted(s3.names_under(client, asker.settings.bucket, f"record/{number}/heads/"))[0]
    client.delete_object(Bucket=asker.settings.bucket, Key=f"record/{number}/heads/{slot}")
    assert asker.reconcile(dry_run=True).is_failed(), "a dry run finds the slot"
    assert asker.reconcile().is_completed()
    assert asker.reconcile(dry_run=True).is_completed(), "the slot is written again"
    client.put_object(Bucket=asker.settings.bucket, Key=f"record/{number}/policies/{'e' * 64}.yaml", Body=b"junk")
    failed = asker.reconcile()
    assert failed.is_failed()
    assert "left to people" in failed.message
