"""A request that waits with a verdict and a report, as a takedown leaves it; nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable

from expunge.engine.stats.evidence.table import Row
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.evidence.quality import measure_quality
from expunge.tasks.ledger.case import Case, open_case
from expunge.tasks.ledger.decisions.record import ask
from expunge.tasks.ledger.receipt import Step
from expunge.tasks.ledger.recorder import note
from expunge.tasks.report import write_report
from tests.tasks.evidence.examined import CANDIDATE, EDIT, verified
from tests.tasks.ledger.test_decisions import BUNDLE


def saw(outcome: str) -> Callable[[Row], bool]:
    """What a judge sees of an edit that comes to this verdict."""

    def seen(row: Row) -> bool:
        if row.arm == "before" or row.role != "target":
            return True
        return outcome == "FAIL" or (outcome == "INCONCLUSIVE" and row.seed == 0)

    return seen


def reported(case: Case, outcome: str) -> None:
    """Verify an order to this verdict, write its report, and ask people."""
    EDIT.save(case.order.folder / "deltas.safetensors")
    verdict, table = verified(case.order, saw(outcome))
    made = Verdict.load(verdict.path)
    assert made.outcome == outcome
    measure_quality(case.order, CANDIDATE, table)
    proof = {"verdict": verdict.sha256, "evidence": table.sha256}
    told = {"outcome": outcome, "reasons": [], "grade": made.grade}
    note(case.order, Step.VERIFIED, {"candidate": CANDIDATE}, proof, told)
    write_report(open_case(case.order), CANDIDATE, verdict, table)
    note(case.order, Step.BUNDLED, {"candidate": CANDIDATE, "verdict": verdict.sha256}, {"bundle": BUNDLE})
    ask(open_case(case.order), BUNDLE, verdict.sha256)
