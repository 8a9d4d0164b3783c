"""The three servers of the local stack: how each is started, how one knows that it serves, and that no stranger can."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from expunge.deployments.keys import USER, Keys, write_private
from expunge.deployments.ports import HOST, Wish
from expunge.deployments.readiness import answers, asks_for_a_certificate, refuses_strangers, s3_serves
from expunge.deployments.seaweedfs import INNER_PORTS, weed_command
from expunge.tasks.core.settings import SILENCE, Settings

PUBLIC_PORTS = [
    Wish("s3", 8333, "EXPUNGE_S3_PORT"),
    Wish("mlflow", 5000, "EXPUNGE_MLFLOW_PORT"),
    Wish("prefect", 4200, "EXPUNGE_PREFECT_PORT"),
]
PORTS = PUBLIC_PORTS + INNER_PORTS
FOREIGN = ("AWS_", "MLFLOW_", "PREFECT_", "WEED_", "S3_")  # settings for other servers, which must not reach ours
SIGNED_IN_SECONDS = 3600  # for so long MLflow knows a password again, whose slow hash would be taken at every request


@dataclass(frozen=True)
class Service:
    """One server: its command, its environment, whether it is ready, and whether it turns away who has no key."""

    name: str
    argv: tuple[str, ...]
    environ: dict[str, str]
    folder: Path
    is_ready: Callable[[], bool]
    is_locked: Callable[[], bool]


def services(stack: Path, ports: dict[str, int], keys: Keys) -> list[Service]:
    """S3, MLflow and Prefect with their state under `stack`, on `ports` (by the names in PORTS)."""
    return [_s3(stack, ports, keys), _mlflow(stack, ports, keys), _prefect(stack, ports, keys)]


def client_variables(stack: Path, ports: dict[str, int], keys: Keys) -> dict[str, str]:
    """Return what a client of the stack needs in its environment."""
    return {
        **SILENCE,
        "PREFECT_HOME": str(stack / "prefect"),
        "PREFECT_API_URL": f"http://{HOST}:{ports['prefect']}/api",
        "PREFECT_API_AUTH_STRING": f"{USER}:{keys.prefect}",
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{ports['mlflow']}",
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": keys.mlflow,
        "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "EXPUNGE_BUCKET": "expunge",
    }


def _s3(stack: Path, ports: dict[str, int], keys: Keys) -> Service:
    folder = _folder(stack / "s3")
    settings = Settings.of(stack.parent, client_variables(stack, ports, keys))
    inner = [ports[wish.name] for wish in INNER_PORTS]
    return Service(
        "s3",
        weed_command(folder, stack / "s3.json", ports),
        _environ({}),
        folder,
        lambda: s3_serves(settings, stack / "s3.served"),
        lambda: all(map(asks_for_a_certificate, inner)) and refuses_strangers(settings.s3_endpoint_url),
    )


def _mlflow(stack: Path, ports: dict[str, int], keys: Keys) -> Service:
    folder = _folder(stack / "mlflow")
    accounts = folder / "accounts.db"
    accounts.unlink(missing_ok=True)  # it would keep the password of an earlier start
    write_private(
        folder / "accounts.ini",
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{accounts}\nauth_cache_ttl_seconds = {SIGNED_IN_SECONDS}\n",
    )
    hosts = _hosts(ports["mlflow"])
    argv = (
        *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
        *("--host", HOST, "--port", str(ports["mlflow"]), "--workers", "1"),
        *("--allowed-hosts", ",".join(hosts), "--cors-allowed-origins", _origins(hosts)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", "s3://mlflow/artifacts"),
    )
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "accounts.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": USER,
        "MLFLOW_AUTH_ADMIN_PASSWORD": keys.mlflow,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": keys.mlflow_forms,
        "MLFLOW_S3_ENDPOINT_URL": f"http://{HOST}:{ports['s3']}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # else several helpers of 250 MB each
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    url = f"http://{HOST}:{ports['mlflow']}"
    closed = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
    return Service(
        "mlflow", argv, _environ(own), folder, lambda: answers(f"{url}/health"), lambda: refuses_strangers(closed)
    )


def _prefect(stack: Path, ports: dict[str, int], keys: Keys) -> Service:
    folder = _folder(stack / "prefect")
    argv = (
        *(sys.executable, "-m", "prefect", "--no-prompt", "server", "start"),
        *("--host", HOST, "--port", str(ports["prefect"])),
    )
    url = f"http://{HOST}:{ports['prefect']}/api"
    own = {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{keys.prefect}",
        "PREFECT_API_AUTH_STRING": f"{USER}:{keys.prefect}",  # its own services are clients of it
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": _origins(_hosts(ports["prefect"])),
        "PREFECT_UI_API_URL": url,
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    return Service(
        "prefect",
        argv,
        _environ(own),
        folder,
        lambda: answers(f"{url}/health"),
        lambda: refuses_strangers(f"{url}/admin/version"),
    )


def _hosts(port: int) -> list[str]:
    return [f"{name}:{port}" for name in (HOST, "localhost")]


def _origins(hosts: list[str]) -> str:
    """Return the addresses of a server's own pages, which alone may ask it for anything."""
    return ",".join(f"http://{host}" for host in hosts)


def _environ(own: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**inherited, **SILENCE, **own}


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
