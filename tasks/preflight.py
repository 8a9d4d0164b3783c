"""Preflight: check services, keys and disk before any work, so that nobody waits for minutes to hear no."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

from expunge.engine.files.digests import files
from expunge.errors import ExpungeError
from expunge.tasks.core.connection import SECONDS, describe_error, without_password
from expunge.tasks.core.errors import NoRoom, ServiceUnreachable
from expunge.tasks.core.settings import Settings, actor, check_crew, draws_on_cluster, workers
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.line.head import sharing
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures.signing import check_key, shared_secret
from expunge.tasks.ledger.signatures.timestamps import check_server
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.leases import Lease, is_fenced, mark_fenced
from expunge.tasks.storage import s3
from expunge.tasks.storage.pointer import raise_fence
from expunge.tasks.storage.record.shared import RecordInS3
from expunge.tasks.storage.record_replica import store, stored
from expunge.tasks.storage.s3 import check_bucket, check_history, check_lock
from expunge.tasks.tracking.abandoned_runs import close_abandoned
from expunge.tasks.tracking.connection import ask_mlflow

UNREACHED = "Failed to reach API"  # a RuntimeError of Prefect's, where a flow cannot begin


def reach(settings: Settings) -> None:
    """ServiceUnreachable names the first of Prefect, MLflow and S3 that does not let us in, and the cure."""
    ask_prefect(settings)
    ask_mlflow(settings.mlflow_tracking_uri)
    client = s3.client(settings)
    check_bucket(client, settings.bucket)
    check_history(client, settings.bucket)
    if settings.retention_days:
        check_lock(client, settings.bucket)


def ask_prefect(settings: Settings) -> None:
    """ServiceUnreachable, with the cure, unless Prefect's own client is let in within seconds."""
    from prefect.client.orchestration import get_client
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_REQUEST_TIMEOUT,
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        temporary_settings,
    )

    url, auth = settings.prefect_api_url, settings.passwords.get(PREFECT_API_AUTH_STRING.name)
    quick = {PREFECT_API_REQUEST_TIMEOUT: SECONDS, PREFECT_CLIENT_MAX_RETRIES: 0}
    try:
        with (
            temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: auth, **quick}),
            get_client(sync_client=True) as client,
        ):
            client.read_flows(limit=1)
    except Exception as error:  # the library raises every kind there is
        cure = "`make up`, or set PREFECT_API_URL, and PREFECT_API_KEY or PREFECT_API_AUTH_STRING if it wants one"
        raise ServiceUnreachable(
            f"Prefect at {without_password(url)} does not let us in ({describe_error(error, url)}): {cure}"
        ) from None


def check_here(home: Path) -> None:
    """Refuse what of this machine would else end the work when all is drawn.

    That is who signs, who acts, how many draw and where.

    Raises:
        UsageError: one of them is not set as it must be.
    """
    from expunge.tasks.core.machine.device import device

    check_key(home)
    check_server()
    actor()
    workers()
    check_crew()
    if draws_on_cluster():
        shared_secret(home, "pictures")  # a key service gives none
    device()


@contextmanager
def prefect_staying(url: str) -> Iterator[None]:
    """Raise what a flow ended with, and not what Prefect says of it in the end.

    Raises ServiceUnreachable where it went away, or knows nothing of the run any more.
    """
    import httpx
    from prefect.exceptions import ObjectNotFound

    try:
        yield
    except (httpx.HTTPError, ObjectNotFound, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith(UNREACHED):
            raise
        behind: BaseException | None = error
        while behind and not isinstance(behind, ExpungeError):
            behind = behind.__cause__ or behind.__context__
        if behind:
            raise behind from None
        raise ServiceUnreachable(
            f"Prefect at {without_password(url)} went away ({describe_error(error, url)}): what was done is on record, "
            "as `expunge status` tells, and the same command goes on with it"
        ) from None


def check_room(home: Path, base: Path) -> None:
    """Raise NoRoom unless the home's disk takes what a takedown writes: the edited model, and the bundle with it."""
    needed, free = 2 * sum(path.stat().st_size for path in files(base)), shutil.disk_usage(home).free
    if free < needed:
        raise NoRoom(
            f"{home} has {free / 2**30:.1f} GiB free, and a takedown of this base writes {needed / 2**30:.1f}: make "
            "room, or name a home on another disk by EXPUNGE_HOME"
        )


_HELD: ContextVar[Mapping[str, Ledger]] = ContextVar("lines held", default=MappingProxyType({}))


@contextmanager
def secured(line: str, settings: Settings) -> Iterator[Ledger]:
    """Run what is inside alone on its line, with all services reached before; each receipt is in S3 at once.

    Gives the line's ledger. What could not be put on record in the end is not begun. Entered again on the same line
    inside itself, it gives the same ledger and does nothing more, so that a flow is as safe by itself as within a
    command.
    """
    name = f"{settings.home.resolve()}/{line.rpartition('-')[2]}"  # by its base, as the lock is
    if held := _HELD.get().get(name):
        yield held
        return
    reach(settings)
    check_here(settings.home)
    with sharing(settings.home, RecordInS3.own(settings)), alone_on(line, settings.home) as lease:
        bar_earlier_workers(line, lease, settings)
        ledger = journal(settings.home, line)
        token = _HELD.set({**_HELD.get(), name: ledger})
        try:
            close_abandoned(line, settings.home)
            store(settings)
            with stored(settings):
                yield ledger
        finally:
            _HELD.reset(token)


def bar_earlier_workers(line: str, lease: Lease, settings: Settings) -> None:
    """Let the line's pointer refuse whoever held the line before, if it was taken from one who may only be paused."""
    database = Database.of(settings.home)
    if not is_fenced(database, lease):
        raise_fence(settings, line, lease.token)
        mark_fenced(database, lease)
