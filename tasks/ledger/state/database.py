"""The database: SQLite in the home, or what `$EXPUNGE_DATABASE` names. Its tables are there at the first use."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from expunge.tasks.core.errors import ServiceUnreachable, UsageError

VARIABLE = "EXPUNGE_DATABASE"
FILE = "expunge.db"
REVISION = "0003"
"""The newest migration: a database that has it needs none, which is known without loading Alembic."""
MIGRATIONS = Path(__file__).parent / "migrations"
ONE_MIGRATION_AT_A_TIME = 0x65787075  # the key of PostgreSQL's advisory lock
ONE_THREAD_MIGRATES = threading.Lock()
"""Alembic keeps what it works on in one place for the whole process."""
BUSY_SECONDS = 30
CURE = f"take {VARIABLE} away, or give postgresql://USER:PASSWORD@HOST/NAME or sqlite:////FOLDER/FILE"
POSTGRES_OPTIONS = (
    f"-c timezone=UTC -c lock_timeout={BUSY_SECONDS}s -c statement_timeout={2 * BUSY_SECONDS}s "
    f"-c idle_in_transaction_session_timeout={BUSY_SECONDS}s"  # a stopped process keeps nobody out for longer
)


class Database:
    """The database of a home. Each transaction has a connection of its own, so processes and threads share none."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.shown = url.render_as_string(hide_password=True)
        self._ready = False

    @classmethod
    def of(cls, home: Path) -> Database:
        """Return the database of a home. UsageError if `$EXPUNGE_DATABASE` names none that can be used."""
        return _database(os.environ.get(VARIABLE) or f"sqlite:///{(home / FILE).absolute()}")

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.url.get_backend_name() == "sqlite" and self.url.database else None

    @property
    def exists(self) -> bool:
        """Return whether there may be something to read; a database on a server always may."""
        return self.file is None or self.file.is_file()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection whose changes are all made at the end, or none. ServiceUnreachable if it cannot be used.

        On SQLite one transaction runs at a time, from its first statement on.
        """
        if not (self._ready and self.exists):
            self._prepare()
        with self._connected() as connection:
            yield connection

    def _prepare(self) -> None:
        """Create the database's file and tables, or bring them to the newest revision; one process at a time."""
        if self.file and not self.file.exists():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch(0o600)
        with self._connected() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_MIGRATION_AT_A_TIME})
            with ONE_THREAD_MIGRATES:
                if revision_of(connection) != REVISION:
                    migrate(connection)
        self._ready = True

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with _engine(self.url).begin() as connection:
                yield connection
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.IntegrityError) or "violat" in str(error.orig):
                raise
            said = " ".join(str(error.orig).split())
            cure = (
                "it is locked by a process that is stopped, or cannot be written" if self.file else "check the server"
            )
            raise ServiceUnreachable(
                f"the database {self.shown} cannot be used ({said}): {cure}; {VARIABLE} names it"
            ) from error


@lru_cache(maxsize=64)
def _database(url: str) -> Database:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError(f"{VARIABLE} is no address of a database: {CURE}") from None
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    elif backend != "sqlite" or not parsed.database:
        raise UsageError(f"{VARIABLE} is {parsed.render_as_string(hide_password=True)}, which cannot be used: {CURE}")
    return Database(parsed)


@lru_cache(maxsize=64)
def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        arguments: dict[str, Any] = {"connect_timeout": 5, "options": POSTGRES_OPTIONS}
    else:
        arguments = {"timeout": BUSY_SECONDS}
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{VARIABLE} names PostgreSQL, and {error.name} is missing: `pip install expunge[postgres]`"
        ) from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _open_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # else the driver begins transactions when it likes
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # a lock taken later could be refused in the middle


def revision_of(connection: Connection) -> str | None:
    """Return which migration a database has, None if it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def migrate(connection: Connection) -> None:
    """Bring the database to the newest revision, inside the transaction that is open.

    Raises UsageError if it is of a later version of this software.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UsageError(
            f"the database was made by a later version of this software ({error}): use that version"
        ) from None


def clock(connection: Connection) -> datetime:
    """Return the time by which leases are counted: the server's, which is one for all machines."""
    if connection.dialect.name == "postgresql":
        return connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return datetime.now(UTC)
