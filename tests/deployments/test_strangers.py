"""What a web page or another user of this machine can do to the local stack: nothing.

Every attack is made on the real servers, without a key, and the servers' own clients do the same with one.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import stat
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from starlette.routing import Route
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from expunge.deployments.keys import load_keys
from expunge.deployments.readiness import asks_for_a_certificate, refuses_strangers
from expunge.deployments.services import Service
from expunge.deployments.stack import refuse_open, servers
from expunge.tasks.core.errors import ServiceUnreachable, UsageError
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3

NOT_SECRET = {"/health", "/version", "/server-info", "/static-files/1", "/ready"}
"""What MLflow and Prefect tell everybody: that they run, which version, and the files of their pages."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a gRPC client begins: the preface of HTTP/2 and empty settings."""


def sockets(home: Path, kind: str) -> Iterator[Any]:
    for process in servers(home).values():
        for member in (parent := psutil.Process(process.pid), *parent.children(recursive=True)):
            yield from (found for found in member.net_connections(kind) if found.status in (psutil.CONN_LISTEN, "NONE"))


def ports_of(home: Path, kind: str = "tcp") -> set[int]:
    return {found.laddr.port for found in sockets(home, kind)}


def any_server() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def status_of(port: int, secured: bool, method: str, path: str) -> int:
    """What a request without a key is answered with, 0 if with nothing."""
    kind = {"context": any_server()} if secured else {}
    connection = (HTTPSConnection if secured else HTTPConnection)("127.0.0.1", port, timeout=10, **kind)  # type: ignore[arg-type]
    try:
        connection.request(method, path, b"written by a stranger" if method in ("PUT", "POST") else None)
        return connection.getresponse().status
    except (HTTPException, OSError):
        return 0
    finally:
        connection.close()


def speaks_grpc(port: int) -> bool:
    """Whether the settings of a stranger's HTTP/2 are answered with the server's own."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
        try:
            stranger.sendall(PREFACE)
            answer = stranger.recv(9)
        except OSError:
            return False
    return len(answer) == 9 and answer[3] == 4


def test_a_stranger_reads_writes_and_deletes_the_bucket_on_no_port(stack: Settings, stack_home: Path) -> None:
    client, key = s3.client(stack), "lines/strangers/approved.json"
    client.put_object(Bucket=stack.bucket, Key=key, Body=b"as it was")
    inside = f"/buckets/{stack.bucket}/{key}"
    paths = (
        inside,
        f"/{stack.bucket}/{key}",
        "/dir/assign",
        "/vol/grow?count=1",
        "/col/delete?collection=expunge",
        "/1,0",
    )
    ports = ports_of(stack_home)
    assert len(ports) >= 12, "the positive control: S3's ten ports, MLflow's and Prefect's"
    attempts = list(product(sorted(ports), (False, True), ("GET", "PUT", "POST", "DELETE"), paths))
    pages = {urlsplit(url).port for url in (stack.prefect_api_url, stack.mlflow_tracking_uri)}
    asked = [attempt for attempt in attempts if (attempt[0] in pages, attempt[2]) != (True, "GET")]  # a page is for all
    assert [attempt for attempt in asked if 200 <= status_of(*attempt) < 400] == []
    assert [port for port in ports if speaks_grpc(port)] == []
    assert s3.read(client, stack.bucket, key) == b"as it was"


def test_a_stranger_reaches_no_socket_in_a_shared_folder(stack_home: Path) -> None:
    paths = {Path(found.laddr) for found in sockets(stack_home, "unix") if str(found.laddr).startswith("/")}
    assert paths, "the positive control"
    assert [path for path in paths if path.exists() and path.stat().st_mode & stat.S_IWOTH] == []


def test_another_user_of_the_machine_can_read_no_file_of_the_home(stack_home: Path) -> None:
    """The stack was started with a umask that takes no right away."""
    assert stat.S_IMODE(stack_home.stat().st_mode) == 0o700
    of_the_server = stack_home / "stack" / "s3"  # SeaweedFS gives some of its files rights of its own choice
    assert stat.S_IMODE(of_the_server.stat().st_mode) == 0o700
    found = [path for path in stack_home.rglob("*") if of_the_server not in path.parents]
    assert len(found) > 15, "the positive control"
    assert [path for path in found if path.lstat().st_mode & 0o077 and not path.is_symlink()] == []


def test_a_stranger_runs_nothing_on_prefect(stack: Settings) -> None:
    """A flow run that he creates would carry a shell command, which the schedule's worker executes."""
    from prefect.server.api.server import API_ROUTERS

    routes = [
        (method, re.sub(r"\{[^}]*\}", "1", route.path))
        for router in API_ROUTERS
        for route in router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    ]
    assert ("POST", "/flow_runs/") in routes, "the positive control"
    with requests.Session() as stranger:
        answered = {
            (method, path): stranger.request(method, stack.prefect_api_url + path, json={}).status_code
            for method, path in routes
        }
    open_to_all = {route: code for route, code in answered.items() if code not in (401, 403)}
    assert {path for _, path in open_to_all} <= NOT_SECRET


@pytest.mark.parametrize("first", [{}, {"type": "auth"}, {"type": "auth", "token": "expunge:guessed"}])
@pytest.mark.parametrize("path", ["/events/in", "/events/out", "/logs/out", "/task_runs/subscriptions/scheduled"])
def test_a_stranger_hears_and_sends_no_event_on_prefect(stack: Settings, path: str, first: dict[str, str]) -> None:
    address = stack.prefect_api_url.replace("http:", "ws:") + path
    with pytest.raises((ConnectionClosed, InvalidStatus)):
        said_hello(address, first)


def said_hello(address: str, first: dict[str, str]) -> None:
    with connect(address, subprotocols=[Subprotocol("prefect")], proxy=None) as stranger:
        stranger.send(json.dumps(first))
        assert json.loads(stranger.recv(timeout=10)).get("type") != "auth_success"
        stranger.recv(timeout=10)


def signed_in(stack: Settings) -> dict[str, str]:
    word = stack.passwords["PREFECT_API_AUTH_STRING"].encode()
    return {"Authorization": f"Basic {base64.b64encode(word).decode()}"}


def test_a_web_page_asks_prefect_for_nothing_in_the_name_of_who_is_signed_in(stack: Settings) -> None:
    asked, page = f"{stack.prefect_api_url}/flows/filter", {"Origin": "https://page.example"}
    for method in (requests.options, requests.get, requests.post):
        answer = method(asked, headers={**page, "Access-Control-Request-Method": "POST"})
        assert "access-control-allow-origin" not in answer.headers
    assert requests.post(asked, json={}, headers={**page, **signed_in(stack)}).status_code == 403, "no CSRF token"
    own = {"Origin": stack.prefect_api_url.removesuffix("/api")}
    answer = requests.get(f"{stack.prefect_api_url}/health", headers=own)
    assert answer.headers["access-control-allow-origin"] == own["Origin"], "the positive control: its own page may"


def test_the_page_of_prefect_talks_to_its_own_server(stack: Settings) -> None:
    told = requests.get(f"{stack.prefect_api_url.removesuffix('/api')}/ui-settings").json()
    assert (told["api_url"], told["auth"], told["csrf_enabled"]) == (stack.prefect_api_url, "BASIC", True)


def mlflow_routes() -> set[tuple[str, str]]:
    """Every method and path that MLflow's server knows, with 1 in the place of names."""
    from mlflow.server.fastapi_app import app

    routed = {(rule.rule, method) for rule in _flask().url_map.iter_rules() for method in rule.methods or ()}
    native = {
        (prefix + route.path, method)
        for included in app.routes
        if (router := getattr(included, "original_router", None))
        for prefix in [getattr(getattr(included, "include_context", None), "prefix", "") or ""]
        for route in router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    return {(method, re.sub(r"<[^>]*>|\{[^}]*\}", "1", path)) for path, method in routed | native}


def _flask() -> Any:
    from mlflow.server import app

    return app


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")
def test_a_stranger_reads_and_changes_nothing_in_mlflow(stack: Settings) -> None:
    """Else he would show a FAIL as a PASS, or move the alias `approved` to a model of his own."""
    routes = {route for route in mlflow_routes() if route[0] != "OPTIONS"}
    assert ("POST", "/api/2.0/mlflow/registered-models/alias") in routes, "the positive control"
    assert len(routes) > 500
    with requests.Session() as stranger:
        answered = {
            (method, path): stranger.request(method, stack.mlflow_tracking_uri + path, json={}).status_code
            for method, path in routes
        }
    open_to_all = {path for (_, path), code in answered.items() if code not in (401, 403)}
    assert {re.sub(r"^.*/mlflow(?=/server-info$)", "", path) for path in open_to_all} <= NOT_SECRET
    own = tuple(stack.passwords[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD"))
    ask = f"{stack.mlflow_tracking_uri}/api/2.0/mlflow/experiments/search?max_results=1"
    assert requests.get(ask, auth=own).status_code == 200, "the positive control"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://page.example"}, {"Host": "page.example"}], ids=["another page", "rebound name"]
)
def test_a_web_page_changes_nothing_in_mlflow_in_the_name_of_who_is_signed_in(
    stack: Settings, headers: dict[str, str]
) -> None:
    """A browser sends a password that it knows with every request, whichever page makes it."""
    own = tuple(stack.passwords[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD"))
    make = f"{stack.mlflow_tracking_uri}/api/2.0/mlflow/experiments/create"
    answer = requests.post(make, json={"name": "of a page"}, auth=own, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_a_server_that_lets_strangers_in_is_not_started(tmp_path: Path, stack: Settings) -> None:
    open_one = Service(
        "prefect", (), {}, tmp_path, lambda: True, lambda: refuses_strangers(stack.prefect_api_url + "/health")
    )
    with pytest.raises(ServiceUnreachable, match="Prefect lets in who has no key, so it was stopped"):
        refuse_open(open_one)
    with socket.socket() as plain:
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        assert not asks_for_a_certificate(plain.getsockname()[1])


@pytest.mark.parametrize("damage", ["", "{}", '{"prefect": "", "mlflow": "a", "mlflow_forms": "a"}', "[]"])
def test_a_damaged_file_of_keys_starts_no_open_server(tmp_path: Path, damage: str) -> None:
    first = load_keys(tmp_path)
    assert load_keys(tmp_path) == first, "the positive control"
    (tmp_path / "passwords.json").write_text(damage)
    with pytest.raises(UsageError, match=r"passwords\.json cannot be used.*make down.*make up"):
        load_keys(tmp_path)
