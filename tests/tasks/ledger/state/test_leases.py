"""A lease has one holder at a time; its token grows; what a holder does that was taken over is refused."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from sqlalchemy import select, update

from expunge.tasks.core.errors import UsageError
from expunge.tasks.ledger.state import leases
from expunge.tasks.ledger.state.database import VARIABLE, Database
from expunge.tasks.ledger.state.holders import is_dead, new_holder
from expunge.tasks.ledger.state.leases import (
    LeaseLost,
    LineBusy,
    acquire,
    check_held,
    held_here,
    is_fenced,
    leased,
    release,
    renew,
    turn,
)
from expunge.tasks.ledger.state.tables import LEASES

NAME = "0123456789ab"


@pytest.fixture
def database(tmp_path: Path, server: str) -> Database:
    return Database.of(tmp_path)


def expire(database: Database) -> None:
    """Let the lease be one that was not renewed in time."""
    with database.transaction() as connection:
        expired = connection.execute(select(LEASES.c.expires)).scalar_one() - leases.duration()
        connection.execute(update(LEASES).values(expires=expired))


def test_one_holder_at_a_time_and_the_token_grows(database: Database) -> None:
    first = acquire(database, NAME)
    assert first
    assert acquire(database, NAME) is None
    assert acquire(database, "another") is not None
    release(database, first)
    second = acquire(database, NAME)
    assert second
    assert second.token > first.token
    assert is_fenced(database, second), "the first was released before the second began"


def test_of_many_that_try_at_once_one_gets_it(database: Database) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = [lease for lease in pool.map(lambda _: acquire(database, NAME), range(6)) if lease]
    assert len(found) == 1


def test_one_that_expired_is_taken_and_its_holder_is_refused_from_then_on(database: Database) -> None:
    first = acquire(database, NAME)
    assert first
    expire(database)
    renew(database, first)
    assert acquire(database, NAME) is None, "one that nobody took is still good"
    expire(database)
    second = acquire(database, NAME)
    assert second
    assert (second.token > first.token, is_fenced(database, second)) == (True, False)
    with pytest.raises(LeaseLost, match="took over the line"):
        renew(database, first)
    with pytest.raises(LeaseLost), database.transaction() as connection:
        check_held(connection, first, "a receipt")
    release(database, first)
    assert acquire(database, NAME) is None, "the former holder releases nothing"


def test_attack_a_clock_that_is_set_back_gives_no_smaller_token(database: Database) -> None:
    first = acquire(database, NAME)
    assert first
    with database.transaction() as connection:
        connection.execute(update(LEASES).values(token=first.token + 10**12))
    release(database, first)
    second = acquire(database, NAME)
    assert second
    assert second.token == first.token + 10**12 + 1


def test_attack_a_database_that_was_removed_gives_no_smaller_token(tmp_path: Path) -> None:
    database = Database.of(tmp_path)
    first = acquire(database, NAME)
    assert first
    time.sleep(0.002)
    assert database.file
    database.file.unlink()
    second = acquire(database, NAME)
    assert second
    assert second.token > first.token
    with pytest.raises(LeaseLost):
        renew(database, first)


def _hold(home: Path, environ: dict[str, str], told: Connection) -> None:
    os.environ.update(environ)
    with leased(Database.of(home), NAME) as lease:
        told.send(lease.token)
        told.recv()
        try:
            renew(Database.of(home), lease)
            told.send("renewed")
        except LeaseLost as error:
            told.send(str(error))


def another(home: Path) -> tuple[BaseProcess, Connection]:
    """Start a process that holds the lease until it is told to renew it."""
    here, there = multiprocessing.Pipe()
    variables = {name: os.environ[name] for name in (VARIABLE, leases.SECONDS) if name in os.environ}
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(home, variables, there))
    process.start()
    return process, here


def test_one_whose_holder_was_killed_is_free_at_once(database: Database, tmp_path: Path) -> None:
    process, told = another(tmp_path)
    told.recv()
    assert acquire(database, NAME) is None
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert acquire(database, NAME) is not None


def test_attack_a_paused_holder_wakes_up_late(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(leases.SECONDS, "1")
    process, told = another(tmp_path)
    token = told.recv()
    time.sleep(1.5)
    assert acquire(database, NAME) is None, "its thread renews it"
    os.kill(process.pid or 0, signal.SIGSTOP)
    with leased(database, NAME) as lease:
        assert (lease.token > token, is_fenced(database, lease)) == (True, False)
        os.kill(process.pid or 0, signal.SIGCONT)
        told.send("go on")
        assert "took over the line" in told.recv()
    process.join(60)
    assert process.exitcode == 0


def test_who_does_not_want_to_wait_is_told(database: Database) -> None:
    with leased(database, NAME), pytest.raises(LineBusy), leased(database, NAME, wait=False):
        pass


def test_within_a_process_that_holds_it_it_is_used_and_else_taken_for_the_moment(tmp_path: Path, server: str) -> None:
    database, line = Database.of(tmp_path), f"emoji-{NAME}"
    with leased(database, NAME) as lease, turn(line, tmp_path) as same:
        assert same is lease
    assert held_here(database, NAME) is None
    with turn(line, tmp_path) as momentary:
        assert held_here(database, NAME) is momentary
    assert acquire(database, NAME) is not None


def test_only_a_process_of_this_machine_can_be_called_dead() -> None:
    holder = new_holder()
    assert not is_dead(holder)
    machine, pid, _, unique = holder.split(":")
    assert is_dead(f"{machine}:{pid}:1.00:{unique}"), "the number was given to another process since"
    assert not is_dead(f"elsewhere:{pid}:1.00:{unique}")


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "a minute", "3601"])
def test_a_time_that_no_lease_can_last_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(leases.SECONDS, value)
    with pytest.raises(UsageError, match=leases.SECONDS):
        leases.duration()
