"""The servers of the compose file, started by its own words: PostgreSQL, S3, MLflow, Prefect, setup and a worker.

No Docker is needed. Each command and its variables are read from the file; only the names of its hosts become ports of
this machine.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from expunge.deployments.ports import Wish, choose
from expunge.deployments.processes import Launched, launch, stop
from expunge.deployments.readiness import answers
from expunge.flows.remote.deploy import DEPLOYMENTS
from expunge.tasks.core.settings import SILENCE
from tests.deployments.test_compose import FOLDER, ROOT, SERVICES, TEXT
from tests.postgres import BINARIES, Server

pytestmark = pytest.mark.slow
HOSTS = {"postgres": 5432, "s3": 8333, "mlflow": 5000, "prefect": 4200}
SUBSTITUTED = re.compile(r"\$\{(\w+):([?-])([^}]*)\}")
READY_SECONDS = 240


class Servers:
    """What runs so far: the ports by host, the secrets by variable, and the folder of all data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = choose([Wish(name) for name in HOSTS])
        self.values = {name: secrets.token_hex(16) for name, sign, _ in SUBSTITUTED.findall(TEXT) if sign == "?"}
        self.running: list[Launched] = []

    def filled(self, text: str) -> str:
        """Return a text of the file as it is on this machine."""
        text = SUBSTITUTED.sub(lambda found: self.values.get(found[1], found[3]), text)
        for name, port in HOSTS.items():
            text = re.sub(rf"\b{name}:{port}\b", f"127.0.0.1:{self.ports[name]}", text)
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[name]}")
        return text.replace("/opt/expunge/mlflow.ini", str(self.folder / "mlflow.ini"))

    def environ(self, name: str) -> dict[str, str]:
        own = {key: self.filled(str(value)) for key, value in SERVICES[name]["environment"].items()}
        places = {
            "EXPUNGE_S3_PORT": str(self.ports["s3"]),
            "EXPUNGE_HOME": str(self.folder / name),
            "PREFECT_HOME": str(self.folder / f"{name}-prefect"),
        }
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            **SILENCE,
            **places,
            **own,
        }

    def argv(self, name: str) -> tuple[str, ...]:
        words = [*SERVICES[name]["entrypoint"], *SERVICES[name].get("command", [])]
        port = [str(self.ports[name]) if word == str(HOSTS.get(name)) else self.filled(word) for word in words]
        return (sys.executable, "-m", *(port[2:] if port[0] == "python" else port))

    def start(self, name: str) -> None:
        log = self.folder / f"{name}.log"
        self.running.append(launch(self.argv(name), self.environ(name), ROOT, log))

    def wait_for(self, name: str) -> None:
        url, deadline = self.filled(SERVICES[name]["healthcheck"]["test"][-1]), time.monotonic() + READY_SECONDS
        while not answers(url):
            assert time.monotonic() < deadline, (self.folder / f"{name}.log").read_text()[-3000:]
            time.sleep(0.5)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    here = Servers(tmp_path_factory.mktemp("compose"))
    ini = (FOLDER / "mlflow.ini").read_text().replace("/tmp/accounts.db", str(here.folder / "accounts.db"))
    (here.folder / "mlflow.ini").write_text(ini)
    postgres = start_postgres(here)
    try:
        here.start("s3")
        here.start("prefect")
        for name in ("s3", "prefect"):
            here.wait_for(name)
        here.start("mlflow")
        here.wait_for("mlflow")
        yield here
    finally:
        stop(here.running)
        postgres.stop()


def start_postgres(here: Servers) -> Server:
    """Start PostgreSQL where every password is checked, and run the script of the file as its image does."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")
    folder = here.folder / "postgres"
    folder.mkdir()
    (password := folder / "password").write_text(here.values["POSTGRES_PASSWORD"])
    checked = ("--auth=scram-sha-256", f"--pwfile={password}", "--username=postgres")
    server = Server(folder, port := here.ports["postgres"], checked)
    server.start()
    variables = {name: here.values[name] for name in SERVICES["postgres"]["environment"]}
    place = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGPASSWORD": here.values["POSTGRES_PASSWORD"]}
    environ = {**variables, **place, "POSTGRES_USER": "postgres", "PATH": f"{server.binaries}:{os.environ['PATH']}"}
    done = subprocess.run([str(FOLDER / "databases.sh")], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return server


def prefect(here: Servers, path: str) -> Any:
    """Return what Prefect lists at `path`. It wants a token of each client, against pages of others."""
    variables = here.environ("worker")
    with requests.Session() as session:
        name, _, password = variables["PREFECT_API_AUTH_STRING"].partition(":")
        session.auth = (name, password)
        url, me = variables["PREFECT_API_URL"], "a-test"
        token = session.get(f"{url}/csrf-token", params={"client": me}, timeout=30).json()["token"]
        named = {"Prefect-Csrf-Client": me, "Prefect-Csrf-Token": token}
        answer = session.post(f"{url}/{path}", json={}, headers=named, timeout=30)
        answer.raise_for_status()
        return answer.json()


def test_setup_makes_all_that_a_worker_needs_and_may_run_again(servers: Servers) -> None:
    for _ in range(2):
        done = subprocess.run(
            servers.argv("setup"), env=servers.environ("setup"), cwd=ROOT, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    entered = {one["name"]: one for one in prefect(servers, "deployments/filter")}
    assert set(entered) == {one.name for one in DEPLOYMENTS}
    assert [one["schedule"]["cron"] for one in entered["daily"]["schedules"]] == ["0 3 * * *"]
    assert {one["work_queue_name"] for one in entered.values()} == {one.queue for one in DEPLOYMENTS}


def test_a_worker_takes_runs_of_every_queue(servers: Servers) -> None:
    servers.start("worker")
    deadline = time.monotonic() + READY_SECONDS
    while not prefect(servers, "work_pools/expunge/workers/filter"):
        assert time.monotonic() < deadline, (servers.folder / "worker.log").read_text()[-3000:]
        time.sleep(1)


def test_mlflow_keeps_its_tables_in_postgresql_and_turns_strangers_away(servers: Servers) -> None:
    own = servers.environ("worker")
    url = f"{own['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/create"
    known = (own["MLFLOW_TRACKING_USERNAME"], own["MLFLOW_TRACKING_PASSWORD"])
    assert requests.post(url, json={"name": "mine"}, timeout=30).status_code == 401
    requests.post(url, json={"name": "mine"}, auth=known, timeout=30).raise_for_status()
    address = servers.environ("mlflow")["MLFLOW_BACKEND_STORE_URI"].replace("+psycopg", "")
    with psycopg.connect(address) as connection:
        assert ("mine",) in connection.execute("SELECT name FROM experiments").fetchall()


def test_no_program_enters_the_database_of_another(servers: Servers) -> None:
    address = servers.environ("worker")["EXPUNGE_DATABASE"]
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    for other in ("prefect", "mlflow"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(f"{address.rpartition('/')[0]}/{other}")
