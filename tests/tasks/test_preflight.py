"""Whether the services are there is asked of real servers: what does not answer as it should is named with its cure."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import NoCredentialsError
from prefect.exceptions import ObjectNotFound

from expunge.engine.errors import DigestMismatch
from expunge.policies import PolicyError
from expunge.tasks.core.errors import IntegrityError, NoRoom, ServiceUnreachable, UsageError, VerdictNotPassed
from expunge.tasks.core.settings import Settings
from expunge.tasks.preflight import check_here, check_room, prefect_staying, reach
from expunge.tasks.storage import s3

Serve = Callable[[int], Settings]
HEADS: list[tuple[str, str | None]] = []
"""(path, security token) of every HEAD that a server of this file got."""


class Handler(BaseHTTPRequestHandler):
    """S3 that answers every HEAD with the server's status and, as S3 does, without a body."""

    server: Server

    def do_GET(self) -> None:
        self._answer(200)

    def do_HEAD(self) -> None:
        HEADS.append((self.path, self.headers["X-Amz-Security-Token"]))
        self._answer(self.server.status)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Server(ThreadingHTTPServer):
    status = 200


@pytest.fixture
def serve(stack: Settings, tmp_path: Path) -> Iterator[Serve]:
    """Start an S3 that answers with this status; returns settings that lead to it and to a real Prefect and MLflow."""
    HEADS.clear()
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"

        def answering(status: int) -> Settings:
            server.status = status
            own = {"access_key_id": "key", "secret_access_key": "secret"}
            return replace(stack, home=tmp_path, s3_endpoint_url=url, bucket="takedowns", **own)

        yield answering
        server.shutdown()
        thread.join()


def test_services_that_answer_are_enough(serve: Serve) -> None:
    reach(serve(200))
    assert [path for path, _ in HEADS] == ["/takedowns"]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 503])
def test_a_bucket_that_cannot_be_used_is_named_with_all_that_may_be_wrong(serve: Serve, status: int) -> None:
    with pytest.raises(ServiceUnreachable, match=f"'takedowns'.*HTTP {status}.*EXPUNGE_BUCKET") as caught:
        reach(serve(status))
    assert caught.value.exit_code == 8
    for variable in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert variable in str(caught.value)


def test_a_name_that_no_bucket_can_have_is_named(serve: Serve) -> None:
    with pytest.raises(ServiceUnreachable, match=r"'take downs'.*name.*EXPUNGE_BUCKET"):
        reach(replace(serve(200), bucket="take downs"))
    assert HEADS == []


def test_the_token_of_temporary_keys_is_sent_with_them(serve: Serve) -> None:
    reach(replace(serve(200), session_token="token"))
    reach(serve(200))
    assert [token for _, token in HEADS] == ["token", None]


@pytest.mark.parametrize(
    ("variable", "wanted"),
    [("prefect_api_url", "PREFECT_API_KEY"), ("mlflow_tracking_uri", "MLFLOW_TRACKING_USERNAME")],
)
def test_a_server_that_wants_a_key_is_found_before_any_work(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, variable: str, wanted: str
) -> None:
    settings = serve(401)
    monkeypatch.setattr(Handler, "do_GET", lambda self: self._answer(401))
    monkeypatch.setattr(Handler, "do_POST", lambda self: self._answer(401), raising=False)
    with pytest.raises(ServiceUnreachable, match=f"does not let us in .*401.*{wanted}"):
        reach(replace(settings, **{variable: settings.s3_endpoint_url}))


@pytest.mark.parametrize("variable", ["prefect_api_url", "mlflow_tracking_uri"])
def test_a_password_in_an_address_is_not_told(serve: Serve, variable: str) -> None:
    settings = replace(serve(200), **{variable: "http://user:s3cret@127.0.0.1:1/api"})
    with pytest.raises(ServiceUnreachable, match=r"at http://127\.0\.0\.1:1/api does not let us in") as caught:
        reach(settings)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__, "nor in a traceback"


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("AccessDenied", 403, "refuses the keys"),
        ("KMS.DisabledException", 400, "cannot serve"),
        ("EntityTooLarge", 400, "cannot serve"),
    ],
)
def test_what_s3_says_of_a_right_that_is_missing_is_told(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, code: str, status: int, told: str
) -> None:
    says = "role/worker is not authorized to perform: kms:GenerateDataKey"

    def refused(self: Handler) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = f"<Error><Code>{code}</Code><Message>{says}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    monkeypatch.setattr(Handler, "do_PUT", refused, raising=False)
    settings = serve(404)
    with pytest.raises(ServiceUnreachable, match=f"{told}.*{says}"):
        s3.put_once(s3.client(settings), settings.bucket, "bundles/one", b"one", hashlib.sha256(b"one").hexdigest())


@pytest.mark.parametrize("status", [400, 403])
def test_keys_that_expire_on_the_way_are_refused_keys_and_no_missing_object(serve: Serve, status: int) -> None:
    settings = serve(status)
    with pytest.raises(ServiceUnreachable, match=f"refuses the keys \\({status}: .*AWS_SESSION_TOKEN"):
        s3.holds(s3.client(settings), settings.bucket, "bundles/one", "0" * 64)
    serve(404)
    assert not s3.holds(s3.client(settings), settings.bucket, "bundles/one", "0" * 64)


def test_bytes_that_rotted_in_the_store_are_no_failure_of_the_service(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 compares what it reads with the checksum that the store keeps, before anybody here sees a byte."""

    def rotten(self: Handler) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.send_header("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(b"stored").digest()).decode())
        self.end_headers()
        self.wfile.write(b"rotten")

    monkeypatch.setattr(Handler, "do_GET", rotten)
    settings = serve(200)
    with pytest.raises(IntegrityError, match="does not have the bytes that were stored"):
        s3.read(s3.client(settings), settings.bucket, "bundles/x")
    with pytest.raises(IntegrityError, match="does not have the bytes that were stored"):
        s3.download(s3.client(settings), settings.bucket, "bundles/x", settings.home / "x")


def test_a_disk_without_room_for_two_copies_of_the_base_is_told_before_any_work(tmp_path: Path) -> None:
    """The file is sparse: it takes no room itself."""
    (base := tmp_path / "base").mkdir()
    weights = base / "weights"
    weights.touch()
    check_room(tmp_path, base)
    os.truncate(weights, shutil.disk_usage(tmp_path).free * 2 // 3)
    with pytest.raises(NoRoom, match=r"GiB free, and a takedown of this base writes .*EXPUNGE_HOME"):
        check_room(tmp_path, base)


def test_keys_that_are_not_there_are_missed_and_not_the_server(serve: Serve) -> None:
    with (
        pytest.raises(ServiceUnreachable, match=r"there are no keys for S3 at http.*set AWS_ACCESS_KEY_ID"),
        s3.reaching(s3.client(serve(404))),
    ):
        raise NoCredentialsError


@pytest.mark.parametrize(
    "gone",
    [
        httpx.ConnectError("[Errno 111] Connection refused"),
        ObjectNotFound(httpx.HTTPError("404, as of a server with a new database")),
        RuntimeError("Failed to reach API at http://here/api/"),
    ],
    ids=lambda gone: type(gone).__name__,
)
def test_a_verdict_goes_before_what_prefect_says_in_the_end(gone: Exception) -> None:
    def flow(end: Exception | None) -> None:
        try:
            if end:
                raise end
        finally:
            raise gone  # as the engine does, which tells the server last

    away = r"Prefect at http://here/api went away .*expunge status"
    with pytest.raises(ServiceUnreachable, match=away), prefect_staying("http://user:secret@here/api"):
        flow(None)
    ends = (
        VerdictNotPassed("FAIL", "not erased"),
        PolicyError("seed", "is text", "write a number"),
        DigestMismatch("base", "a", "b", "fetch it again"),
    )
    for end in ends:
        with pytest.raises(type(end)), prefect_staying("http://here/api"):
            flow(end)
    with pytest.raises(RuntimeError, match="a bug"), prefect_staying("http://here/api"):
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("name", "value"), [("EXPUNGE_ACTOR", "x" * 201), ("EXPUNGE_WORKERS", "none"), ("EXPUNGE_DEVICE", "cuda:99")]
)
def test_what_of_this_machine_would_end_the_work_in_the_end_is_told_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("EXPUNGE_ACTOR", "an officer")
    check_here(tmp_path)
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=name):
        check_here(tmp_path)
