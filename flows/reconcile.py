"""Reconcile: hold database, S3, MLflow and Prefect against the receipts, repair what is safe, and say the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from prefect import flow
from sqlalchemy import select

from expunge.errors import ExpungeError
from expunge.tasks.core.errors import NothingOnRecord
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import refusals_end_plainly
from expunge.tasks.ledger.line.head import sharing
from expunge.tasks.ledger.queries import lines
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.tables import LINES
from expunge.tasks.preflight import ask_prefect
from expunge.tasks.reconcile.finding import MLFLOW, PREFECT, Done, Finding, failures
from expunge.tasks.reconcile.line import reconcile_line
from expunge.tasks.reconcile.look import Look
from expunge.tasks.reconcile.orphans import reconcile_orphans
from expunge.tasks.reconcile.pointers import look_at_other_pointers
from expunge.tasks.reconcile.runs import reconcile_processes
from expunge.tasks.storage import s3
from expunge.tasks.storage.record.shared import RecordInS3
from expunge.tasks.tracking.abandoned_runs import mark_process
from expunge.tasks.tracking.connection import ask_mlflow

BY_PROCESS = ("submit", "publish approved", "reconcile")
"""Flows whose runs name their process."""


class Unreconciled(ExpungeError):
    """Something is left to people, or a service did not answer; the message lists it."""

    def __init__(self, findings: Sequence[dict[str, Any]], exit_code: int) -> None:
        super().__init__("\n".join(map(in_words, findings)))
        self.exit_code = exit_code


@flow(name="reconcile", persist_result=False)
@refusals_end_plainly
def reconcile_all(dry_run: bool = False) -> Any:
    """Hold database, S3, MLflow and Prefect against the receipts, repair what is safe, and say the rest.

    It may run at any time, twice or in parallel. Lines on which work is under way are passed by.

    Args:
        dry_run: Only say what would be repaired, and change nothing.

    Ends Failed where something is left to people.
    """
    settings = Settings.load()
    settings.export()
    mark_process()
    with private(settings.home):
        found = reconcile(settings, dry_run)
    for each in found["findings"]:
        tell(in_words(each))
    if found["exit_code"]:
        unsolved = [each for each in found["findings"] if each["done"] not in (Done.REPAIRED, Done.WAITS)]
        raise Unreconciled(unsolved, found["exit_code"])
    return found["lines"]


def reconcile(settings: Settings, dry: bool = False) -> dict[str, Any]:
    """Return the lines that were looked at, what was found on them and elsewhere, and the exit code of the worst.

    Raises:
        NothingOnRecord: the bucket has no record of ours.
        ServiceUnreachable: S3 or the database does not answer; without MLflow and Prefect the rest is done.
    """
    client = s3.client(settings)
    s3.check_bucket(client, settings.bucket)
    if (record := RecordInS3.found(settings)) is None:
        raise NothingOnRecord(f"s3://{settings.bucket} has no record that a key of this home signed: see EXPUNGE_HOME")
    silent = [*_silence(MLFLOW, lambda: ask_mlflow(settings.mlflow_tracking_uri))]
    silent += _silence(PREFECT, lambda: ask_prefect(settings))
    look = Look(settings, record, dry, frozenset(one.place for one in silent))
    known, found = _lines(look), [*silent]
    with sharing(settings.home, record):
        for line in known:
            found += reconcile_line(line, look)
        found += look_at_other_pointers(known, look)
        found += reconcile_orphans(found, look)
    if PREFECT not in look.silent:
        found += reconcile_processes(BY_PROCESS, look)
    rows = [asdict(each) for each in found]
    return {"lines": known, "findings": rows, "dry": dry, "exit_code": max((one.exit_code for one in found), default=0)}


def in_words(row: dict[str, Any]) -> str:
    """Return a finding on one line."""
    return f"{row['done']}: {row['place']}, {row['where']}: {row['what']}"


def _silence(place: str, ask: Callable[[], None]) -> list[Finding]:
    """Return that a service does not answer, if it does not."""
    found = list[Finding]()
    with failures(found, place, "all"):
        ask()
    return found


def _lines(look: Look) -> list[str]:
    """Return the lines that S3, the home or the database knows."""
    with Database.of(look.home).transaction() as connection:
        rows = set(connection.execute(select(LINES.c.id)).scalars())
    return sorted({*look.lines_under(look.place), *lines(look.home), *rows})
