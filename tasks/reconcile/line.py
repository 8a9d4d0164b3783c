"""One line in all places: its rows, what it has in S3, what MLflow shows of it, and its runs in Prefect."""

from __future__ import annotations

from expunge.tasks.ledger.recorder import journal
from expunge.tasks.reconcile.contents import reconcile_contents
from expunge.tasks.reconcile.database import reconcile_rows
from expunge.tasks.reconcile.finding import DATABASE, MLFLOW, PREFECT, S3, Finding, failures
from expunge.tasks.reconcile.index import reconcile_index
from expunge.tasks.reconcile.look import Look
from expunge.tasks.reconcile.pointers import look_at_pointer
from expunge.tasks.reconcile.runs import reconcile_runs
from expunge.tasks.reconcile.slots import reconcile_slots


def reconcile_line(line: str, look: Look) -> list[Finding]:
    """Return what was found on a line, alone on it; nothing but that it is busy, where other work is under way."""
    found = list[Finding]()
    with failures(found, DATABASE, line):
        with look.alone(line):
            own = _found(line, look)
        found += own
    return found


def _found(line: str, look: Look) -> list[Finding]:
    found = list[Finding]()
    if PREFECT not in look.silent:
        found += reconcile_runs(line, look)
    look.record.fetch_line(line)
    found += reconcile_rows(line, look)
    chain = journal(look.home, line).receipts()
    for looked in (reconcile_contents, reconcile_slots, look_at_pointer):
        with failures(found, S3, line):
            found += looked(line, chain, look)
    if MLFLOW not in look.silent:
        found += reconcile_index(line, chain, look)
    return found
