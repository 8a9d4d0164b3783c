"""Compare the database with the receipts, and write it anew from them: it repeats them, and proves nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from expunge.tasks.core.errors import LedgerError, NothingOnRecord
from expunge.tasks.ledger.line.lock import alone_on
from expunge.tasks.ledger.line.projection import rows_of
from expunge.tasks.ledger.policy_store import kept_policies, named_policies
from expunge.tasks.ledger.queries import read
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.heads import Rows, adopt, read_rows
from expunge.tasks.ledger.state.leases import lease_name, mark_unfenced
from expunge.tasks.ledger.state.tables import LEASES, LINES

CURE = "the receipts count; `expunge rebuild` writes the database anew from them"


def disagreements(home: Path, chains: Mapping[str, Sequence[Receipt]]) -> Iterator[str]:
    """Say where the database has something else than the receipts of these lines, which hold.

    Of a line that it does not know, on which work is under way, or of which a policy is lost, nothing is said.
    Raises ServiceUnreachable.
    """
    database = Database.of(home)
    if not database.exists:
        return
    with database.transaction() as connection:
        found = read_rows(connection)
        busy = set(connection.execute(select(LEASES.c.name).where(LEASES.c.holder.is_not(None))).scalars())
    known = {row["id"]: row for row in found["lines"]}
    for line in sorted(known.keys() - chains.keys()):
        yield f"the database has a line {line}, of which no receipts that hold are here: {CURE}"
    for line, chain in chains.items():
        if line not in known or lease_name(line) in busy:
            continue
        if wrong := wrong_tables(home, chain, found):
            yield f"the database says otherwise than the receipts of {line} in {', '.join(wrong)}: {CURE}"


def wrong_tables(home: Path, chain: Sequence[Receipt], found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return the names of the tables in which a line has other rows, `found`, than its receipts say, which hold.

    Of a line of which a policy is lost nothing is said.
    """
    rows = rows_in(home, chain)
    return _wrong(rows, found) if all(request["received"] for request in rows.requests) else []


def rebuild(home: Path) -> dict[str, Any]:
    """Write the database anew from the receipts of a home.

    Returns how many rows it has, and how many lines were otherwise.

    Raises NothingOnRecord where there are no receipts, LedgerError where a chain does not hold or a signed receipt in
    the database says that more is missing, LineBusy where work is under way.
    """
    chains, problems = read(home)
    if problems:
        raise LedgerError("; ".join(problems))
    if not chains:
        raise NothingOnRecord(f"{home} has no receipts to rebuild from: set EXPUNGE_HOME to the home that is meant")
    database = Database.of(home)
    changed = sum([_rebuild_line(database, home, line) for line in chains])
    with database.transaction() as connection:
        gone = connection.execute(delete(LINES).where(LINES.c.id.not_in(chains))).rowcount
        counted = {table: len(rows) for table, rows in read_rows(connection).items()}
    return {**counted, "changed": changed + gone}


def _rebuild_line(database: Database, home: Path, line: str) -> bool:
    """Write the rows of a line, and say whether they were others.

    An earlier worker may be at work of whom a lost database knew.
    """
    with database.transaction() as connection:
        before = read_rows(connection)
    with alone_on(line, home, wait=False) as lease:
        rows = rows_in(home, journal(home, line).receipts())
        adopt(database, lease, rows)
        mark_unfenced(database, lease)
    return bool(_wrong(rows, before))


def rows_in(home: Path, chain: Sequence[Receipt]) -> Rows:
    """Return the rows of a line with these receipts."""
    policies, lost = kept_policies(home, named_policies(chain))
    return rows_of(chain, signing.envelope(home, chain[-1]) or b"", policies, lost)


def _wrong(rows: Rows, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return the names of the tables in which a line has other rows than these."""
    line, wrong = rows.line["id"], []
    for table, wanted in rows.tables.items():
        key = "id" if table is LINES else "line"
        own = [row for row in found[table.name] if row[key] == line]
        if len(own) != len(wanted) or any(dict(row) not in own for row in wanted):
            wrong.append(table.name)
    return wrong
