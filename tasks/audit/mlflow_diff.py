"""Compare what MLflow shows with the receipts: whoever may write there can make a FAIL a PASS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from expunge.tasks.audit.work_files import has_verdict
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.line.proof import doubts_of
from expunge.tasks.ledger.line.status import LineStatus
from expunge.tasks.ledger.receipt import Receipt, Step, is_of_a_base, of_step
from expunge.tasks.storage.bundle_store import bundle_uri
from expunge.tasks.tracking.registry import is_registered
from expunge.tasks.tracking.runs import SUSPECT, Indexed, runs_of

Shown = tuple[str, str]  # verdict and state


def differences(home: Path, chains: Mapping[str, Sequence[Receipt]], settings: Settings) -> Iterator[str]:
    """Yield what is shown otherwise than it is on record, and which publications are not shown, in words.

    Checks and refusals that MLflow missed while it was down stay in the record alone. Raises ServiceUnreachable.
    """
    for line, chain in chains.items():
        status, runs = LineStatus.by(home, chain), runs_of(settings, line)
        for problem in [*shown_otherwise(chain, status, runs), *not_entered(line, chain, status, runs, settings)]:
            yield f"MLflow, {line}: {problem}"


def shown_otherwise(chain: Sequence[Receipt], status: LineStatus | None, runs: Sequence[Indexed]) -> Iterator[str]:
    """Yield which of a line's runs show something else than its receipts say: somebody wrote that."""
    wanted = _on_record(chain, status)
    for run in runs:
        if (expected := wanted.get(run.receipt)) is None:
            yield f"run {run.id} names the receipt {run.receipt or 'none'}, which ends no work here"
        elif expected != run.shown:
            yield f"run {run.id} shows {' and '.join(run.shown)}, on record is {' and '.join(expected)}"


def not_entered(
    line: str, chain: Sequence[Receipt], status: LineStatus | None, runs: Sequence[Indexed], settings: Settings
) -> Iterator[str]:
    """Yield what MLflow did not hear of a line, and can be told."""
    entered = {run.receipt for run in runs}
    for receipt in sorted({receipt.digest for receipt in of_step(chain, Step.PUBLISHED)} - entered):
        yield f"no run names the receipt {receipt} of a publication; the next check enters it, if its work is kept"
    yield from _of_alias(line, status, settings)


def _of_alias(line: str, status: LineStatus | None, settings: Settings) -> Iterator[str]:
    if status is None:
        return
    named = is_registered(settings, line, bundle_uri(status.proof.bundle, settings))
    if named and status.doubts:
        yield "the alias names what is suspect"
    elif not named and not status.doubts:
        yield "the alias names another bundle than was published last, or none"


def _on_record(chain: Sequence[Receipt], status: LineStatus | None) -> dict[str, Shown]:
    """Return what each run has to show, by the receipt that it names."""
    verdicts, found = dict[str, str](), dict[str, Shown]()
    replaced = status.replaced if status else {}
    for receipt in chain:
        if receipt.step == Step.VERIFIED:
            verdicts[receipt.work] = str(receipt.outcome)
        elif receipt.step == Step.GATED and receipt.outcome != "open":
            found[receipt.digest] = verdicts.get(receipt.work, ""), "rejected"
        elif receipt.step == Step.PUBLISHED:
            by = replaced.get(receipt.request_id)
            verdict = "none" if is_of_a_base(receipt) else verdicts.get(receipt.work, "")
            found[receipt.digest] = verdict, "replaced" if by and receipt.sequence < by.sequence else "published"
        elif receipt.step == Step.CHECKED and has_verdict(receipt):
            found[receipt.digest] = str(receipt.outcome), SUSPECT if doubts_of(receipt) else str(Step.CHECKED)
    return found
