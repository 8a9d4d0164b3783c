"""The compose file: what it starts has no rights, no default password, no door to strangers, no variable in vain."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from expunge.deployments.containers import s3
from expunge.deployments.processes import launch, stop
from expunge.deployments.readiness import answers, make_buckets
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import SILENCE
from tests.deployments.variables import unknown

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deployments" / "containers"
FILE = FOLDER / "compose.yaml"
TEXT = FILE.read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
DEMANDED = re.compile(r"\$\{(\w+):\?[^}]*\}")
OPTIONAL = re.compile(r"\$\{(\w+):-[^}]*\}")
ACCEPTED = {
    "CL-0019": "not a digest",  # it would be that of one machine; IMAGE and POSTGRES_IMAGE name one
    "CL-0020": "'AWS_ACCESS_KEY_ID'",  # the name of an account, which is not secret
}
IN_DEBIAN = shutil.which("docker-compose")


def environment(service: str) -> dict[str, str]:
    return SERVICES[service].get("environment") or {}


def secrets() -> set[str]:
    return set(DEMANDED.findall(TEXT)) - {"ACTOR"}


def test_a_linter_of_security_finds_nothing_else() -> None:
    argv = [sys.executable, "-m", "compose_lint", "--format", "json", "--fail-on", "low", str(FILE)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    report = json.loads(done.stdout)
    assert report["findings"]
    others = [one for one in report["findings"] if ACCEPTED.get(one["rule_id"], "no such") not in one["message"]]
    assert others == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_without_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    assert not {"privileged", "network_mode", "pid", "ipc", "user"} & service.keys()
    assert "docker.sock" not in str(service)


def test_only_the_pages_are_served_and_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "mlflow": ["127.0.0.1:${MLFLOW_PORT:-5000}:5000"],
        "prefect": ["127.0.0.1:${PREFECT_PORT:-4200}:4200"],
    }
    assert yaml.safe_load(TEXT)["networks"]["inside"] == {"internal": True}
    assert [name for name, service in SERVICES.items() if "inside" not in service["networks"]] == []
    assert {name for name, service in SERVICES.items() if "pages" in service["networks"]} == set(published)


def test_no_password_has_a_default() -> None:
    for name in SERVICES:
        for variable, value in environment(name).items():
            if re.search(r"PASSWORD|SECRET|AUTH_STRING|CONNECTION|DATABASE|STORE_URI", variable):
                assert DEMANDED.search(str(value)), f"{name}: {variable}"
    assert not any(re.search(r"PASSWORD|SECRET|KEY", name) for name in OPTIONAL.findall(TEXT))
    assert len(secrets()) == 9


def test_each_server_has_health_and_who_needs_it_waits() -> None:
    servers = {"postgres", "s3", "mlflow", "prefect"}
    assert {name for name, service in SERVICES.items() if "healthcheck" in service} == servers
    for name in ("setup", "worker"):
        waited = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
        assert {other for other, how in waited.items() if how == "service_healthy"} == servers
    assert SERVICES["worker"]["depends_on"]["setup"] == {"condition": "service_completed_successfully"}


def test_every_variable_is_one_that_is_read() -> None:
    names = {variable for name in SERVICES for variable in environment(name)}
    prefixes = ("EXPUNGE_", "PREFECT_", "MLFLOW_", "AWS_")
    assert len(names) > 20
    assert unknown({name for name in names if name.startswith(prefixes)}) == set()
    others = {name for name in names if not name.startswith(prefixes)}
    scripts = "".join((FOLDER / file).read_text() for file in ("databases.sh", "s3.py"))
    assert {name for name in others if name.startswith("DATABASE_PASSWORD_")} == {
        f"DATABASE_PASSWORD_{name.upper()}" for name in re.findall(r"for name in ([\w ]+);", scripts)[0].split()
    }
    assert {name for name in others if name.startswith("S3_")} == {
        f"S3_SECRET_{name}" for name in ("EXPUNGE", "MLFLOW")
    }
    assert others == {name for name in others if name.startswith(("DATABASE_PASSWORD_", "S3_SECRET_"))} | {
        "POSTGRES_PASSWORD"
    }


def test_a_variable_that_nobody_reads_is_noticed() -> None:
    assert unknown({"EXPUNGE_HOMES", "PREFECT_API_URI", "MLFLOW_TRACKING_URL", "EXPUNGE_HOME"}) == {
        "EXPUNGE_HOMES",
        "PREFECT_API_URI",
        "MLFLOW_TRACKING_URL",
    }


def test_every_option_of_a_server_exists() -> None:
    from mlflow.cli import server

    options = {option for parameter in server.params for option in (*parameter.opts, *parameter.secondary_opts)}
    words = [*SERVICES["mlflow"]["entrypoint"], *SERVICES["mlflow"]["command"]]
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options


def test_both_passwords_of_a_server_and_its_clients_are_one() -> None:
    for client in ("setup", "worker", "expunge"):
        own = environment(client)
        assert own["PREFECT_API_AUTH_STRING"] == environment("prefect")["PREFECT_SERVER_API_AUTH_STRING"]
        assert own["MLFLOW_TRACKING_PASSWORD"] == environment("mlflow")["MLFLOW_AUTH_ADMIN_PASSWORD"]
        assert own["MLFLOW_TRACKING_USERNAME"] == environment("mlflow")["MLFLOW_AUTH_ADMIN_USERNAME"]
        assert own["AWS_SECRET_ACCESS_KEY"] == environment("s3")["S3_SECRET_EXPUNGE"]
    assert environment("mlflow")["AWS_SECRET_ACCESS_KEY"] == environment("s3")["S3_SECRET_MLFLOW"]


def test_mlflow_can_reach_its_own_bucket_alone() -> None:
    """Who takes over MLflow would otherwise write into the record."""
    secret = {"S3_SECRET_EXPUNGE": "e" * 32, "S3_SECRET_MLFLOW": "m" * 32}
    own, mlflow = s3.accounts(secret)["identities"]
    assert "Write" in own["actions"]
    assert all(action.endswith(":mlflow") for action in mlflow["actions"])
    assert not any(action.startswith("Admin") for action in mlflow["actions"])


@pytest.mark.parametrize("secret", ["", "short"])
def test_s3_does_not_start_with_a_secret_that_can_be_guessed(secret: str) -> None:
    with pytest.raises(UsageError, match="S3_SECRET_MLFLOW"):
        s3.accounts({"S3_SECRET_EXPUNGE": "e" * 32, "S3_SECRET_MLFLOW": secret})


def test_the_page_of_operations_makes_every_secret() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (made,) = re.findall(r"for name in ([A-Z0-9_\s\\]+); do", page)
    assert set(made.replace("\\", " ").split()) == secrets()


def test_the_image_lets_no_library_report_its_use() -> None:
    recipe = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    assert [name for name, value in SILENCE.items() if not re.search(rf"\b{name}={value}\b", recipe)] == []


def test_the_image_has_the_version_of_the_project() -> None:
    version = next(
        line.split('"')[1] for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version")
    )
    assert f"${{IMAGE:-expunge:{version}}}" in TEXT


@pytest.mark.skipif(IN_DEBIAN is None, reason="docker-compose is not installed; `make test-images` installs it")
def test_compose_itself_takes_it_and_refuses_it_without_secrets(tmp_path: Path) -> None:
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    argv = [str(IN_DEBIAN), "--file", str(FILE), "--profile", "command", "config", "--format", "json"]
    values = {name: f"value-{number}" for number, name in enumerate(sorted({*secrets(), "ACTOR"}))}
    done = subprocess.run(argv, env={**clean, **values}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"].keys() == SERVICES.keys()
    for name in values:
        less = {other: value for other, value in values.items() if other != name}
        refused = subprocess.run(argv, env={**clean, **less}, capture_output=True, text=True)
        assert refused.returncode != 0
        assert name in refused.stderr


@pytest.mark.slow
def test_the_accounts_of_s3_hold_on_the_real_server(tmp_path: Path) -> None:
    """MLflow's key, in the hands of somebody else, neither reads nor changes nor destroys what is on record."""
    secret = {"S3_SECRET_EXPUNGE": "e" * 32, "S3_SECRET_MLFLOW": "m" * 32}
    argv = s3.command(tmp_path, secret)
    server = launch(argv, {"PATH": os.environ["PATH"]}, tmp_path, tmp_path / "s3.log")
    try:
        url = next(f"http://127.0.0.1:{word.partition('=')[2]}" for word in argv if word.startswith("-s3.port="))
        wait_for(lambda: answers(f"{url}/healthz"))
        own, stranger = (client(url, name, secret[f"S3_SECRET_{name.upper()}"]) for name in ("expunge", "mlflow"))
        make_buckets(own, "expunge")
        own.put_object(Bucket="expunge", Key="receipt", Body=b"record")
        stranger.put_object(Bucket="mlflow", Key="own", Body=b"table")
        for call, words in (
            (stranger.get_object, {"Key": "receipt"}),
            (stranger.put_object, {"Key": "receipt", "Body": b"forged"}),
            (stranger.delete_object, {"Key": "receipt"}),
            (stranger.list_objects_v2, {}),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                call(Bucket="expunge", **words)
        assert own.get_object(Bucket="expunge", Key="receipt")["Body"].read() == b"record"
    finally:
        stop([server])


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def client(url: str, name: str, secret: str) -> Any:
    config = Config(signature_version="s3v4", connect_timeout=5, read_timeout=20)
    keys = {"aws_access_key_id": name, "aws_secret_access_key": secret, "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=url, config=config, **keys)
