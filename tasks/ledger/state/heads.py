"""The last receipt of each line, and what the receipts say of its requests and checks, as rows.

The row of a line decides which receipt is its next: whoever moves it from the receipt that he read, under the lease,
has appended. The signed receipt lies in the row until it is stored, so that a worker which dies in between loses none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from expunge.errors import ExpungeError
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.leases import Lease, check_held
from expunge.tasks.ledger.state.tables import CHECKS, LINES, REQUESTS


class HeadMoved(ExpungeError):
    """The row of a line is not at the receipt that the new one follows."""

    exit_code = 6


@dataclass(frozen=True)
class Head:
    """The last receipt of a line: its number, its digest, and the receipt itself in its signed envelope."""

    sequence: int
    digest: str
    envelope: bytes


@dataclass(frozen=True)
class Rows:
    """The receipts of one line as rows, by the names of their columns."""

    line: Mapping[str, Any]
    requests: Sequence[Mapping[str, Any]]
    checks: Sequence[Mapping[str, Any]]

    @property
    def tables(self) -> dict[Table, Sequence[Mapping[str, Any]]]:
        """The rows by table, a line before what refers to it."""
        return {LINES: [self.line], REQUESTS: self.requests, CHECKS: self.checks}


def head_of(database: Database, line: str) -> Head | None:
    """Return what the database says is the last receipt of a line; only a signature makes it one."""
    with database.transaction() as connection:
        return _head(connection, line)


def heads_in(connection: Connection) -> dict[str, tuple[int, str]]:
    """Return by line the number and the digest of its last receipt, as the database has them."""
    found = connection.execute(select(LINES.c.id, LINES.c.sequence, LINES.c.head))
    return {row.id: (row.sequence, row.head) for row in found}


def forget_line(database: Database, lease: Lease, line: str) -> None:
    """Delete the rows of a line that has no receipts. Raises LeaseLost."""
    with database.transaction() as connection:
        check_held(connection, lease, "the state of the line")
        connection.execute(delete(LINES).where(LINES.c.id == line))


def move_head(database: Database, lease: Lease, rows: Rows, follows: Head | None) -> None:
    """Write the rows of a line with one more receipt, if its head is still the one that this receipt follows.

    All in one transaction, in which nobody can take the lease. Raises LeaseLost, HeadMoved, ServiceUnreachable.
    """
    with database.transaction() as connection:
        check_held(connection, lease, f"receipt {rows.line['sequence']}")
        found = _head(connection, rows.line["id"])
        if _place(found) != _place(follows):
            raise HeadMoved(
                f"the database has {_named(found)} as the last receipt of {rows.line['id']}, and the record has "
                f"{_named(follows)}: somebody changed one of them; see `expunge audit`, then `expunge rebuild`"
            )
        write_rows(connection, rows)


def adopt(database: Database, lease: Lease, rows: Rows) -> None:
    """Write the rows of a line as its receipts say, whatever the database said. Raises LeaseLost."""
    with database.transaction() as connection:
        check_held(connection, lease, "the state of the line")
        write_rows(connection, rows)


def write_rows(connection: Connection, rows: Rows) -> None:
    """Let the database have these rows of the line, and no others."""
    line = rows.line["id"]
    for table, wanted in rows.tables.items():
        own = table.c.id == line if table is LINES else table.c.line == line
        keys = [column.name for column in table.primary_key]
        found = {_key(row, keys): row for row in map(dict, connection.execute(select(table).where(own)).mappings())}
        new = {_key(row, keys): dict(row) for row in wanted}
        for key in found.keys() - new.keys():
            connection.execute(delete(table).where(_is(table, keys, key)))
        for key, row in new.items():
            if key not in found:
                connection.execute(insert(table).values(row))
            elif found[key] != row:
                connection.execute(table.update().where(_is(table, keys, key)).values(row))


def read_rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the tables that repeat what receipts say, by table, in the order of their keys."""
    return {
        table.name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
        for table in (LINES, REQUESTS, CHECKS)
    }


def _head(connection: Connection, line: str) -> Head | None:
    found = connection.execute(select(LINES).where(LINES.c.id == line)).one_or_none()
    return Head(found.sequence, found.head, bytes(found.envelope)) if found else None


def _place(head: Head | None) -> tuple[int, str]:
    return (head.sequence, head.digest) if head else (0, "")


def _named(head: Head | None) -> str:
    return f"number {head.sequence} ({head.digest[:12]})" if head else "none"


def _key(row: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[key] for key in keys)


def _is(table: Table, keys: Sequence[str], key: tuple[Any, ...]) -> Any:
    condition = table.c[keys[0]] == key[0]
    for name, value in zip(keys[1:], key[1:], strict=True):
        condition &= table.c[name] == value
    return condition
