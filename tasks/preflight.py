"""Are the services there, and room on the disk? Asked before any work, so that nobody waits for minutes to hear no."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, ParamValidationError

from expunge.engine.files.digests import files
from expunge.tasks.core.errors import ExpungeError, NoRoom, ServiceUnreachable
from expunge.tasks.core.exit_codes import CODES
from expunge.tasks.core.settings import Settings, actor, workers
from expunge.tasks.ledger.signing import check_key
from expunge.tasks.storage import s3

SECONDS = 5
UNREACHED = "Failed to reach API"  # a RuntimeError of Prefect's, where a flow cannot begin
MLFLOW = "`make up`, or set MLFLOW_TRACKING_URI, and MLFLOW_TRACKING_USERNAME and _PASSWORD or _TOKEN if it wants them"


def reach(settings: Settings) -> None:
    """ServiceUnreachable names the first of Prefect, MLflow and S3 that does not let us in, and the cure."""
    ask_prefect(settings.prefect_api_url)
    ask_mlflow(settings.mlflow_tracking_uri)
    client = s3.client(settings)
    check_bucket(client, settings.bucket)
    check_history(client, settings.bucket)
    if settings.retention_days:
        check_lock(client, settings.bucket)


def ask_prefect(url: str) -> None:
    """ServiceUnreachable, with the cure, unless Prefect's own client is let in within seconds."""
    from prefect.client.orchestration import get_client
    from prefect.settings import (
        PREFECT_API_REQUEST_TIMEOUT,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        temporary_settings,
    )

    try:
        with (
            temporary_settings(
                {PREFECT_API_URL: url, PREFECT_API_REQUEST_TIMEOUT: SECONDS, PREFECT_CLIENT_MAX_RETRIES: 0}
            ),
            get_client(sync_client=True) as client,
        ):
            client.read_flows(limit=1)
    except Exception as error:  # the library raises every kind there is
        cure = "`make up`, or set PREFECT_API_URL, and PREFECT_API_KEY or PREFECT_API_AUTH_STRING if it wants one"
        raise ServiceUnreachable(f"Prefect at {shown(url)} does not let us in ({told(error, url)}): {cure}") from None


def check_here(home: Path) -> None:
    """What of this machine would else end the work when all is drawn: who signs, who acts, how many draw and where.
    UsageError says so at once."""
    from expunge.tasks.core.device import device

    check_key(home)
    actor()
    workers()
    device()


@contextmanager
def prefect_staying(url: str) -> Iterator[None]:
    """Whatever a flow ends with goes before what Prefect says in the end; ServiceUnreachable where it went away, or
    knows nothing of the run any more."""
    import httpx
    from prefect.exceptions import ObjectNotFound

    try:
        yield
    except (httpx.HTTPError, ObjectNotFound, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith(UNREACHED):
            raise
        behind: BaseException | None = error
        while behind and not isinstance(behind, (ExpungeError, *CODES)):
            behind = behind.__cause__ or behind.__context__
        if behind:
            raise behind from None
        raise ServiceUnreachable(
            f"Prefect at {shown(url)} went away ({told(error, url)}): what was done is on record, as `expunge status` "
            "tells, and the same command goes on with it"
        ) from None


def ask_mlflow(url: str) -> None:
    """ServiceUnreachable, with the cure, unless MLflow lets its own client in within seconds; the client's retries
    would take minutes to say so."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    ask = "/api/2.0/mlflow/experiments/search"
    try:
        answer = http_request(
            get_default_host_creds(url), ask, "GET", max_retries=0, timeout=SECONDS, params={"max_results": 1}
        )
        verify_rest_response(answer, ask)
    except Exception as error:  # the library raises every kind there is
        raise ServiceUnreachable(f"MLflow at {shown(url)} does not let us in ({told(error, url)}): {MLFLOW}") from None


def shown(url: str) -> str:
    """The address without the name and password that may be in it."""
    return url.replace(f"{_account(url)}@", "") if _account(url) else url


def told(error: Exception, url: str) -> str:
    """What an error says, or the failed connection behind it, on one line and without the password of an address."""
    behind: BaseException | None = error
    while behind and not isinstance(behind, ConnectionError | TimeoutError):
        behind = behind.__cause__ or behind.__context__
    said = " ".join(str(behind or error).split()) or type(error).__name__
    return said.replace(f"{_account(url)}@", "") if _account(url) else said


def _account(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[0]
    except ValueError:  # it is no address at all, which is what the error says
        return ""


def check_room(home: Path, base: Path) -> None:
    """NoRoom unless the home's disk takes what a takedown writes: the edited model, and the bundle with it."""
    needed, free = 2 * sum(path.stat().st_size for path in files(base)), shutil.disk_usage(home).free
    if free < needed:
        raise NoRoom(
            f"{home} has {free / 2**30:.1f} GiB free, and a takedown of this base writes {needed / 2**30:.1f}: make "
            "room, or name a home on another disk by EXPUNGE_HOME"
        )


def check_bucket(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless there is the bucket and the keys open it."""
    with s3.reaching(client):
        try:
            client.head_bucket(Bucket=bucket)
        except (ClientError, ParamValidationError) as error:
            # a HEAD is answered without a body, so its status is all that tells why
            why = f"HTTP {s3.status(error)}" if isinstance(error, ClientError) else "no bucket can have that name"
            raise ServiceUnreachable(
                f"S3 at {client.meta.endpoint_url} does not give access to the bucket {bucket!r} ({why}): check "
                f"EXPUNGE_BUCKET, AWS_DEFAULT_REGION, and the keys {s3.KEYS}"
            ) from error


def check_lock(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless the bucket can lock what it holds."""
    with s3.reaching(client):
        try:
            client.get_object_lock_configuration(Bucket=bucket)
        except ClientError as error:
            if s3.code(error) != "ObjectLockConfigurationNotFoundError":
                raise
            raise ServiceUnreachable(
                f"the bucket {bucket!r} has no Object Lock, which EXPUNGE_RETENTION_DAYS asks for: name one that has "
                "by EXPUNGE_BUCKET, or take the variable away"
            ) from error


def check_history(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless the keys may list the versions of what the bucket holds."""
    with s3.reaching(client):
        client.list_object_versions(Bucket=bucket, MaxKeys=1)
