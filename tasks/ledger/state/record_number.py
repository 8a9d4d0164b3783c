"""The number of the record that a database serves: under it all workers find the record in S3."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.tables import RECORDS


def known_number(database: Database) -> str | None:
    """Return the number that the database has, None if it has none or is not there. Raises ServiceUnreachable."""
    if not database.exists:
        return None
    with database.transaction() as connection:
        return _number(connection)


def agree_on(database: Database, number: str) -> str:
    """Give the database this number unless it has one, and return the one that it has: all workers get the same."""
    with suppress(IntegrityError), database.transaction() as connection:  # another worker was first
        if _number(connection) is None:
            connection.execute(insert(RECORDS).values(id=1, number=number))
    return known_number(database) or number


def _number(connection: Connection) -> str | None:
    return connection.execute(select(RECORDS.c.number)).scalar_one_or_none()
