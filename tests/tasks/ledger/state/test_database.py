"""The database is made at its first use, by whoever comes first, and has exactly the tables that the code names."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Table, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from expunge.tasks.core.errors import ServiceUnreachable, UsageError
from expunge.tasks.ledger.state.database import FILE, MIGRATIONS, REVISION, VARIABLE, Database, revision_of
from expunge.tasks.ledger.state.tables import LINES, METADATA, REQUESTS

LINE = {"id": "emoji-0", "head": "a" * 64, "sequence": 1, "envelope": b"{}"}


def write(database: Database, table: Table, *rows: dict[str, Any]) -> None:
    """Insert these rows in one transaction."""
    with database.transaction() as connection:
        for row in rows:
            connection.execute(insert(table).values(row))


def test_the_tables_are_those_that_the_code_names(tmp_path: Path, server: str) -> None:
    with Database.of(tmp_path).transaction() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA)
        checks = {
            table: {check["name"] for check in inspect(connection).get_check_constraints(table)}
            for table in METADATA.tables
        }
    assert found == []
    assert checks == {
        name: {str(one.name) for one in table.constraints if one.name and str(one.name).startswith("ck_")}
        for name, table in METADATA.tables.items()
    }


def test_the_newest_migration_is_the_one_that_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


def _use(home: Path, environ: dict[str, str], start: float) -> None:
    os.environ.update(environ)
    with Database.of(home).transaction() as connection:
        assert revision_of(connection) == REVISION


def test_processes_that_come_first_at_once_make_it_once(tmp_path: Path, server: str) -> None:
    context = multiprocessing.get_context("spawn")
    environ = {VARIABLE: os.environ.get(VARIABLE, "")}
    processes = [context.Process(target=_use, args=(tmp_path, environ, 0.0)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_threads_that_make_two_databases_at_once_make_both(tmp_path: Path) -> None:
    def revision(home: Path) -> str | None:
        with Database.of(home).transaction() as connection:
            return revision_of(connection)

    homes = [tmp_path / str(number) for number in range(8)]
    with ThreadPoolExecutor(len(homes)) as pool:
        assert list(pool.map(revision, homes)) == [REVISION] * len(homes)


def test_a_database_that_was_removed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    database = Database.of(tmp_path)
    with database.transaction() as connection:
        connection.execute(insert(LINES).values(LINE))
    (tmp_path / FILE).unlink()
    with database.transaction() as connection:
        assert connection.execute(select(LINES)).all() == []


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path, server: str) -> None:
    database = Database.of(tmp_path)
    with pytest.raises(IntegrityError):
        write(database, LINES, LINE, LINE)
    with database.transaction() as connection:
        assert connection.execute(select(LINES)).all() == []


def test_moments_keep_their_zone_and_those_without_one_are_refused(tmp_path: Path, server: str) -> None:
    moment = datetime(2026, 12, 2, 9, tzinfo=UTC)
    row = {"line": "emoji-0", "work": "b" * 64, "id": "one", "policy": "c" * 64, "receipt": "d" * 64}
    with Database.of(tmp_path).transaction() as connection:
        connection.execute(insert(LINES).values(LINE))
        zone = moment.astimezone().tzinfo
        connection.execute(insert(REQUESTS).values(row | {"state": "accepted", "at": moment.astimezone(zone)}))
        assert connection.execute(select(REQUESTS.c.at)).scalar_one() == moment
        assert connection.execute(select(REQUESTS.c.at)).scalar_one().utcoffset() == timedelta(0)
    with pytest.raises(StatementError, match="has no time zone"):
        write(Database.of(tmp_path), REQUESTS, row | {"state": "accepted", "at": moment.replace(tzinfo=None)})


@pytest.mark.parametrize("change", [{"state": "passed"}, {"line": "another-0"}])
def test_attack_a_row_that_can_mean_nothing_is_refused(tmp_path: Path, server: str, change: dict[str, str]) -> None:
    row = {"line": "emoji-0", "work": "b" * 64, "id": "one", "policy": "c" * 64, "receipt": "d" * 64}
    row |= {"state": "accepted", "at": datetime.now(UTC)}
    write(Database.of(tmp_path), LINES, LINE)
    with pytest.raises(IntegrityError):
        write(Database.of(tmp_path), REQUESTS, row | change)


def test_a_database_of_a_later_version_is_refused(tmp_path: Path, server: str) -> None:
    with Database.of(tmp_path).transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    later = Database(Database.of(tmp_path).url)
    with pytest.raises(UsageError, match="later version"), later.transaction():
        pass


@pytest.mark.parametrize("address", ["nonsense", "mysql://u:secret@host/name", "sqlite://"])
def test_an_address_of_no_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(UsageError, match=VARIABLE) as refused:
        Database.of(tmp_path)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql://user:secret@127.0.0.1:9/name")
    match = r"user:\*\*\*@127.0.0.1:9/name"
    with pytest.raises(ServiceUnreachable, match=match) as refused, Database.of(tmp_path).transaction():
        pass
    assert "secret" not in str(refused.value)


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    with Database.of(tmp_path).transaction():
        pass
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
