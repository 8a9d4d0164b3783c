"""Leases: one worker at a time, for as long as it shows that it lives, with a fencing token for what comes late.

A lease ends with its holder's process, or when it was not renewed in time. Then another takes it, with a greater
token. The former holder may only be paused, and wake up in the middle of a write. So no write trusts that the lease is
still held: each states its token, and what it writes to refuses a token that is smaller than one it has seen.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from expunge.errors import ExpungeError
from expunge.tasks.core.environment import Environment
from expunge.tasks.core.errors import ServiceUnreachable
from expunge.tasks.ledger.state.database import Database, clock
from expunge.tasks.ledger.state.holders import is_dead, new_holder
from expunge.tasks.ledger.state.tables import LEASES

SECONDS = "EXPUNGE_LEASE_SECONDS"
RENEWALS = 3
"""So many times a lease is renewed in the time that it lasts."""
POLL_SECONDS = 0.2
logger = logging.getLogger(__name__)


class LineBusy(ExpungeError):
    """Another worker holds the line, and nobody wants to wait for it."""

    exit_code = 6


class LeaseLost(ExpungeError):
    """Another worker took over the line while this one was paused or cut off; what it was about to write is refused."""

    exit_code = 6

    def __init__(self, name: str, what: str) -> None:
        super().__init__(
            f"{what} was refused: other work took over the line {name} while this one was paused or cut off from the "
            "database; nothing of this run was published since. Submit again, which finds what became of it"
        )


@dataclass(frozen=True)
class Lease:
    """A lease that was acquired. `token` grows with each acquisition."""

    name: str
    holder: str
    token: int


_HELD: dict[tuple[str, str], Lease] = {}
"""What this process holds, by database and name."""


@contextmanager
def leased(database: Database, name: str, wait: bool = True, say: Callable[[], None] = lambda: None) -> Iterator[Lease]:
    """Hold the lease of this name, renewed by a thread, until the end.

    `say` is called once where another worker has it. LineBusy then without `wait`; ServiceUnreachable if the database
    cannot be used.
    """
    lease = acquire(database, name)
    if lease is None:
        if not wait:
            raise LineBusy(f"other work on {name} is under way")
        say()
    while lease is None:
        time.sleep(POLL_SECONDS)
        lease = acquire(database, name)
    key, ended = (database.shown, name), threading.Event()
    renewal = threading.Thread(target=_keep_renewing, args=(database, lease, ended), daemon=True)
    _HELD[key] = lease
    renewal.start()
    try:
        yield lease
    finally:
        ended.set()
        if _HELD.get(key) is lease:
            del _HELD[key]
        renewal.join()
        with suppress(ServiceUnreachable):  # then it expires
            release(database, lease)


def held_here(database: Database, name: str) -> Lease | None:
    """Return the lease of this name that this process holds, as far as it knows."""
    return _HELD.get((database.shown, name))


def acquire(database: Database, name: str) -> Lease | None:
    """Take the lease if it is free, has expired, or its holder is dead; None if another worker has it."""
    with suppress(IntegrityError), database.transaction() as connection:  # another wrote the row of a new name first
        found = locked(connection, name)
        now = clock(connection)
        if found and _is_busy(found, now):
            return None
        free = found is None or found.holder is None
        token = max(found.token + 1 if found else 1, int(now.timestamp() * 1000))  # grows where the database is new too
        lease = Lease(name, new_holder(), token)
        values = {"holder": lease.holder, "token": token, "expires": now + duration()}
        values["fenced"] = found is None or (free and found.fenced)
        if found is None:
            connection.execute(insert(LEASES).values(name=name, **values))
        else:
            connection.execute(update(LEASES).where(LEASES.c.name == name).values(**values))
        return lease
    return None


def renew(database: Database, lease: Lease) -> None:
    """Hold the lease for its full time from now on, also if it has expired and nobody took it.

    Raises LeaseLost if somebody did.
    """
    with database.transaction() as connection:
        check_held(connection, lease, "to go on")
        until = clock(connection) + duration()
        connection.execute(update(LEASES).where(LEASES.c.name == lease.name).values(expires=until))


def release(database: Database, lease: Lease) -> None:
    """Let others take the lease at once; nothing happens if another has it by now."""
    mine = (LEASES.c.name == lease.name) & (LEASES.c.holder == lease.holder)
    with database.transaction() as connection:
        connection.execute(update(LEASES).where(mine).values(holder=None, expires=None))


def free_abandoned(database: Database) -> list[str]:
    """Release the leases whose holders are dead or did not renew them; return the names of those that are held."""
    with database.transaction() as connection:
        held = list(connection.execute(select(LEASES.c.name).where(LEASES.c.holder.is_not(None))).scalars())
    busy = []
    for name in held:
        if lease := acquire(database, name):
            release(database, lease)
        else:
            busy.append(name)
    return busy


def is_held(database: Database, name: str) -> bool:
    """Return whether a worker holds the lease who is not known to be dead, and whose time has not come."""
    with database.transaction() as connection:
        found = connection.execute(select(LEASES).where(LEASES.c.name == name)).one_or_none()
        return found is not None and _is_busy(found, clock(connection))


def _is_busy(row: Row[Any], now: datetime) -> bool:
    return bool(row.holder) and row.expires > now and not is_dead(row.holder)


@contextmanager
def nobody_at_work(database: Database) -> Iterator[Connection | None]:
    """Yield a connection if no lease is held, else None. Nobody takes one before this ends, so be quick."""
    with database.transaction() as connection:
        if connection.dialect.name == "postgresql":  # on SQLite one transaction runs at a time anyway
            connection.execute(text("LOCK TABLE leases IN SHARE ROW EXCLUSIVE MODE"))
        held = connection.execute(select(LEASES.c.name).where(LEASES.c.holder.is_not(None))).first()
        yield connection if held is None else None


def is_fenced(database: Database, lease: Lease) -> bool:
    """Return whether all that the lease protects outside of the database refuses the tokens before this one."""
    with database.transaction() as connection:
        check_held(connection, lease, "the fence")
        return bool(connection.execute(select(LEASES.c.fenced).where(LEASES.c.name == lease.name)).scalar_one())


def mark_fenced(database: Database, lease: Lease) -> None:
    """Note that it does."""
    _mark(database, lease, True)


def mark_unfenced(database: Database, lease: Lease) -> None:
    """Note that an earlier holder may be at work of whom the database knows nothing."""
    _mark(database, lease, False)


def _mark(database: Database, lease: Lease, fenced: bool) -> None:
    with database.transaction() as connection:
        check_held(connection, lease, "the fence")
        connection.execute(update(LEASES).where(LEASES.c.name == lease.name).values(fenced=fenced))


def check_held(connection: Connection, lease: Lease, what: str) -> None:
    """Raise LeaseLost unless the lease is still this one.

    Nobody takes it before the transaction of this connection ends, so what is written in it is written by the holder.
    """
    found = locked(connection, lease.name)
    if found is None or (found.holder, found.token) != (lease.holder, lease.token):
        raise LeaseLost(lease.name, what)


def locked(connection: Connection, name: str) -> Row | None:
    """Return the row of a lease, which nobody else can change before the transaction ends."""
    return connection.execute(select(LEASES).where(LEASES.c.name == name).with_for_update()).one_or_none()


def duration() -> timedelta:
    """Return how long a lease lasts that is not renewed. UsageError if `$EXPUNGE_LEASE_SECONDS` is no such number."""
    return timedelta(seconds=Environment.read({SECONDS: os.environ.get(SECONDS, "")}).lease_seconds)


def _keep_renewing(database: Database, lease: Lease, ended: threading.Event) -> None:
    pause = duration().total_seconds() / RENEWALS
    while not ended.wait(pause):
        try:
            renew(database, lease)
        except ServiceUnreachable as error:
            logger.warning("the lease of %s could not be renewed, which is tried again: %s", lease.name, error)
        except LeaseLost as error:
            if not ended.is_set():
                logger.warning("%s", error)
            return


def lease_name(line: str) -> str:
    """Return the name of a line's lease: that of its base, which a line's name ends with.

    Before there is a line two workers may name it differently.
    """
    return line.rpartition("-")[2]


@contextmanager
def turn(line: str, home: Path) -> Iterator[Lease]:
    """Yield the lease of a line that this process holds, or hold it for what is inside."""
    database = Database.of(home)
    if lease := held_here(database, lease_name(line)):
        yield lease
        return
    with leased(database, lease_name(line)) as lease:
        yield lease
