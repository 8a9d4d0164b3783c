"""MLflow against the receipts of a line: it is told what it missed, and what somebody else wrote is for people."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.tasks.audit.mlflow_diff import not_entered, shown_otherwise
from expunge.tasks.catch_up import catch_up
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.reconcile.finding import MLFLOW, Done, Finding, failures
from expunge.tasks.reconcile.look import Look
from expunge.tasks.tracking.runs import end_unfinished, runs_of, unfinished_runs

CURE = "delete the run in MLflow; one of a publication is entered anew then"


def reconcile_index(line: str, chain: Sequence[Receipt], look: Look) -> list[Finding]:
    """Enter the publications and the check of a line that MLflow lacks, and end the runs that nobody writes any more.

    While the line is held: whoever enters something of a line holds it.
    """
    found, settings = list[Finding](), look.settings
    with failures(found, MLFLOW, line):
        for run in sorted(unfinished := unfinished_runs(settings, {receipt.digest for receipt in chain})):
            what = f"run {run} is shown as running, and whoever wrote it was killed"
            found.append(Finding(MLFLOW, line, what, look.repaired))
        status, runs, still = LineStatus.by(look.home, chain), runs_of(settings, line), set[str]()
        missed = set(not_entered(line, chain, status, runs, settings))
        if not look.dry:
            end_unfinished(settings, unfinished)
            with failures(found, MLFLOW, line):
                catch_up(journal(look.home, line), settings)
            runs = runs_of(settings, line)
            still = set(not_entered(line, chain, status, runs, settings))
        found += [Finding(MLFLOW, line, what, look.repaired) for what in sorted(missed - still)]
        found += [Finding(MLFLOW, line, what, Done.LEFT) for what in sorted(still)]
        others = shown_otherwise(chain, status, runs)
        found += [Finding(MLFLOW, line, f"{what}: {CURE}", Done.LEFT) for what in sorted(others)]
    return found
