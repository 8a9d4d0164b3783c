"""The local stack: idempotent, on ports that are free, gone when it is down."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from expunge.deployments.keys import load_keys
from expunge.deployments.ports import PortTaken, Wish, choose
from expunge.deployments.processes import Launched, is_running, launch, start, stop
from expunge.deployments.readiness import answers, s3_serves
from expunge.deployments.seaweedfs import INNER_PORTS, VOLUMES, weed_command
from expunge.deployments.services import client_variables
from expunge.tasks import preflight as health
from expunge.tasks.core.errors import ServiceUnreachable, UsageError
from expunge.tasks.core.settings import Settings, spare_proxy
from expunge.tasks.storage import s3
from tests.conftest import run_stack


def session_members(pids: set[int]) -> list[str]:
    return [p.name() for p in psutil.process_iter() if _session(p.pid) in pids and p.status() != "zombie"]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def pids(home: Path) -> set[int]:
    return {record["pid"] for record in json.loads((home / "stack/services.json").read_text()).values()}


def test_up_again_says_so_and_starts_nothing(stack_home):
    before = pids(stack_home)
    again = run_stack("up", stack_home)
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert pids(stack_home) == before


def test_keys_are_private(stack_home):
    for name in ("s3.json", "env.json"):
        assert stat.S_IMODE((stack_home / "stack" / name).stat().st_mode) == 0o600


def test_every_port_is_on_loopback(stack_home):
    listening = [
        connection.laddr.ip
        for process in psutil.process_iter()
        if _session(process.pid) in pids(stack_home)
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 12, "the positive control: S3's ten ports, MLflow's and Prefect's"
    assert set(listening) == {"127.0.0.1"}


def test_the_published_bucket_keeps_versions(stack):
    answer = s3.client(stack).get_bucket_versioning(Bucket=stack.bucket)
    assert answer["Status"] == "Enabled"


@pytest.fixture
def small_s3(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An S3 server alone, that may make so many volumes."""
    monkeypatch.setattr("expunge.deployments.processes.GRACE_SECONDS", 0.5)
    ports, keys = choose([Wish("s3"), *INNER_PORTS]), load_keys(tmp_path)
    (folder := tmp_path / "s3").mkdir()
    variables = client_variables(tmp_path, {**ports, "prefect": 1, "mlflow": 1}, keys)
    settings = Settings.of(tmp_path, variables)
    command = weed_command(folder, tmp_path / "s3.json", ports, request.param)
    server = launch(command, dict(os.environ), folder, folder / "log")
    try:
        while not answers(f"{settings.s3_endpoint_url}/healthz"):
            assert is_running(server)
        yield settings
    finally:
        stop([server])


@pytest.mark.parametrize("small_s3", [2], indirect=True)
def test_buckets_without_number_end_with_what_is_wrong(small_s3):
    with pytest.raises(ServiceUnreachable, match=r"cannot serve .*no room.*volumes.*stack/s3\.log"):
        fill(small_s3, 10)


@pytest.mark.slow
@pytest.mark.parametrize("small_s3", [VOLUMES], indirect=True)
def test_a_stack_has_room_for_150_buckets(small_s3):
    fill(small_s3, 150)


def fill(settings: Settings, buckets: int) -> None:
    client = s3.client(settings)
    for number in range(buckets):
        client.create_bucket(Bucket=f"bucket-{number}")
        s3.put_once(client, f"bucket-{number}", "one", bytes(100_000), sha256(bytes(100_000)).hexdigest())


def test_s3_is_not_ready_while_an_old_object_cannot_be_read(stack, tmp_path):
    served = tmp_path / "served"
    served.touch()
    assert s3_serves(stack, served)
    s3.client(stack).delete_object(Bucket="mlflow", Key="readiness")
    assert not s3_serves(stack, served)
    served.unlink()
    assert s3_serves(stack, served), "it puts the object back on a first start"


def test_a_demanded_port_that_is_taken_is_refused_and_nothing_is_left(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = run_stack("up", tmp_path, EXPUNGE_MLFLOW_PORT=str(port))
    assert refused.returncode == 8
    assert f"EXPUNGE_MLFLOW_PORT={port}: the port is taken" in refused.stderr
    assert not (tmp_path / "stack/services.json").exists()
    assert run_stack("status", tmp_path).returncode == 8


def test_a_usual_port_that_is_taken_gives_way(monkeypatch):
    monkeypatch.delenv("EXPUNGE_S3_PORT", raising=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert choose([Wish("s3", taken)])["s3"] != taken
        monkeypatch.setenv("EXPUNGE_S3_PORT", str(taken))
        with pytest.raises(PortTaken, match="EXPUNGE_S3_PORT"):
            choose([Wish("s3", 8333, "EXPUNGE_S3_PORT")])
    assert choose([Wish("s3", taken)])["s3"] == taken, "the positive control: it is free again"
    monkeypatch.setenv("EXPUNGE_S3_PORT", "many")
    with pytest.raises(ValueError, match="from 1 to 65535"):
        choose([Wish("s3", 8333, "EXPUNGE_S3_PORT")])


def test_chosen_ports_differ():
    chosen = choose([Wish(str(number)) for number in range(12)])
    assert len(set(chosen.values())) == 12


def test_stop_ends_what_ignores_the_polite_signal_and_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.deployments.processes.GRACE_SECONDS", 0.5)
    script = "trap '' TERM; sleep 60 & echo ready > ready; while true; do sleep 1; done"
    launched = launch(("sh", "-c", script), dict(os.environ), tmp_path, tmp_path / "log")
    while not (tmp_path / "ready").exists():
        assert is_running(launched)
    assert len(session_members({launched.pid})) >= 2
    stop([launched])
    assert session_members({launched.pid}) == []


def test_stop_ends_what_was_started_while_it_looked(tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.deployments.processes.GRACE_SECONDS", 0.1)
    script = "trap '' TERM; echo ready > ready; while true; do sleep 60 & sleep 0.002; done"
    for turn in range(5):
        folder = tmp_path / str(turn)
        folder.mkdir()
        launched = launch(("sh", "-c", script), dict(os.environ), folder, folder / "log")
        while not (folder / "ready").exists():
            assert is_running(launched)
        stop([launched])
        assert session_members({launched.pid}) == []


def test_a_reused_process_id_is_not_ours(tmp_path):
    ours = launch(("sleep", "60"), dict(os.environ), tmp_path, tmp_path / "log")
    before_the_restart = Launched(ours.pid, "0" * 32)
    assert not is_running(before_the_restart)
    stop([before_the_restart])
    assert is_running(ours)
    stop([ours])
    assert not is_running(ours)


def test_what_a_dead_leader_left_is_stopped_and_a_reused_session_is_not(tmp_path):
    launched = launch(("sh", "-c", "sleep 60 &"), dict(os.environ), tmp_path, tmp_path / "log")
    psutil.wait_procs([psutil.Process(launched.pid)] if psutil.pid_exists(launched.pid) else [], timeout=10)
    assert not is_running(launched)
    stop([Launched(launched.pid, "0" * 32)])
    assert len(session_members({launched.pid})) == 1, "what it started, by whatever name it goes yet"
    stop([launched])
    assert session_members({launched.pid}) == []


def test_the_stack_is_reached_past_any_proxy(stack, monkeypatch):
    """Without `no_proxy`, boto3, requests and httpx would all ask the proxy for 127.0.0.1."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "elsewhere.example")
        for refused in (
            lambda: health.ask_prefect(stack),
            lambda: health.ask_mlflow(stack.mlflow_tracking_uri),
            lambda: health.check_bucket(s3.client(stack), stack.bucket),
        ):
            with pytest.raises(ServiceUnreachable):
                refused()
        spare_proxy()
        health.reach(stack)
    assert os.environ["no_proxy"] == "elsewhere.example,127.0.0.1,localhost"


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_home_that_is_a_file_is_refused_with_its_cure(tmp_path, command):
    (file := tmp_path / "file").touch()
    refused = run_stack(command, file)
    assert refused.returncode == 2
    assert "set EXPUNGE_HOME to a folder" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_without_stack_and_environment_the_missing_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path))
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ServiceUnreachable, match=r"PREFECT_API_URL is not set.*make up"):
        Settings.load()


@pytest.mark.parametrize("command", ["up", "down", "status"])
@pytest.mark.parametrize("record", ["", '{"s3": {"pid": 1, "argv": ["weed", "mini"]}}'], ids=["damaged", "older"])
def test_a_record_of_the_servers_that_cannot_be_read_is_named_with_its_cure(tmp_path, command, record):
    (file := tmp_path / "stack" / "services.json").parent.mkdir()
    file.write_text(record)
    refused = run_stack(command, tmp_path)
    assert refused.returncode == 2
    assert f"{file} cannot be read" in refused.stderr.replace("\n", "")
    assert "Traceback" not in refused.stderr


def test_a_damaged_record_of_the_addresses_is_named_with_its_cure(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path))
    (file := tmp_path / "stack" / "env.json").parent.mkdir()
    file.touch()
    with pytest.raises(UsageError, match=r"env\.json cannot be read .*: remove it, then `make down` and `make up`"):
        Settings.load()


def test_the_environment_wins_and_its_keys_never_meet_our_endpoint(stack, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-another-service")
    loaded = Settings.load()
    assert loaded.mlflow_tracking_uri == "http://elsewhere"
    assert loaded.access_key_id == stack.access_key_id
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://elsewhere")
    loaded = Settings.load()
    assert (loaded.access_key_id, loaded.secret_access_key) == ("of-another-service", None)
    assert "of-another-service" not in repr(loaded), "keys stay out of logs"


def test_what_works_for_a_server_is_stopped_with_it_and_the_server_not_with_that(tmp_path):
    sleeping = (("sleep", "60"), dict(os.environ), tmp_path)
    server = launch(*sleeping, tmp_path / "log")
    first, second = (start(*sleeping, owner=server.mark)[1] for _ in range(2))
    stop([first])
    assert (is_running(server), is_running(first), is_running(second)) == (True, False, True)
    stop([server])
    assert (is_running(server), is_running(second)) == (False, False)


@pytest.mark.slow
def test_the_schedule_that_is_told_to_stop_leaves_no_worker_behind(stack):
    schedule = started_schedule(stack.home)
    try:
        workers = worker_of(schedule)
        schedule.send_signal(signal.SIGTERM)
        assert schedule.wait(30) == 128 + signal.SIGTERM
        assert psutil.wait_procs(workers, timeout=5)[1] == []
    finally:
        schedule.kill()


@pytest.mark.slow
def test_down_stops_the_schedule_even_one_that_was_killed(tmp_path):
    ports = choose([Wish(f"EXPUNGE_{name}_PORT") for name in ("S3", "MLFLOW", "PREFECT")])
    assert run_stack("up", tmp_path, **{name: str(port) for name, port in ports.items()}).returncode == 0
    killed, other = started_schedule(tmp_path), started_schedule(tmp_path)
    try:
        workers = [*worker_of(killed), *worker_of(other)]
        killed.kill()
        assert run_stack("down", tmp_path).returncode == 0
        assert psutil.wait_procs(workers, timeout=5)[1] == []
        assert other.wait(30) != 0, "it has nothing to wait for"
    finally:
        killed.kill()
        other.kill()
        run_stack("down", tmp_path)


def started_schedule(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "expunge.deployments.schedule"],
        env={**os.environ, "EXPUNGE_HOME": str(home)},
        stdin=subprocess.DEVNULL,
    )


def worker_of(schedule: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker that a schedule starts once all is entered, and what that started."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and schedule.poll() is None:
        children = psutil.Process(schedule.pid).children(recursive=True)
        with suppress(psutil.Error):
            if any("worker" in child.cmdline() for child in children):
                return children
        time.sleep(0.2)
    raise AssertionError("no worker was started")


@pytest.mark.slow
def test_down_leaves_no_process_and_up_finds_the_data_again(tmp_path):
    ports = choose([Wish(f"EXPUNGE_{name}_PORT") for name in ("S3", "MLFLOW", "PREFECT")])
    variables = {name: str(port) for name, port in ports.items()}
    assert run_stack("up", tmp_path, **variables).returncode == 0
    started = pids(tmp_path)
    assert len(session_members(started)) >= 3, "the positive control"
    assert run_stack("down", tmp_path).returncode == 0
    assert session_members(started) == []
    assert not (tmp_path / "stack/env.json").exists()
    assert "Stopped 0 of 3" in run_stack("down", tmp_path).stdout
    assert run_stack("up", tmp_path, **variables).returncode == 0, "with the same keys and data"
    assert run_stack("status", tmp_path).returncode == 0
    assert run_stack("down", tmp_path).returncode == 0


def test_a_stack_that_is_starting_is_not_up_yet(stack_home, tmp_path):
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "services.json").write_bytes((stack_home / "stack" / "services.json").read_bytes())
    told = run_stack("status", tmp_path)
    assert told.returncode == ServiceUnreachable.exit_code
    assert "They are starting" in told.stdout
    assert "running, pid" in run_stack("status", stack_home).stdout
