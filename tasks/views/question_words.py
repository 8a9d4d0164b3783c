"""The verdict on which people are asked to decide, in the sentences that the report has."""

from __future__ import annotations

from pathlib import Path

from expunge.tasks.core.paths import STATE, VERDICT, work_folder
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.views.findings import Findings
from expunge.tasks.views.letters.proof import published_state, verdict_named
from expunge.tasks.views.sentences import headline

NO_WORDS = {"outcome": None, "headline": None, "assurance": None}
"""The words of a question without a verdict, or with one that is not the one on record."""


def question_words(home: Path, asked: Receipt) -> dict[str, str | None]:
    """Return outcome, sentence and assurance of the verdict that a question names.

    They are None where the question is of a base as it was, or the home lacks a file of the work.

    Raises:
        IntegrityError: verdict or desired state is not what the question names.
    """
    folder = work_folder(home, asked.work)
    if "verdict" not in asked.inputs or not all((folder / name).is_file() for name in (VERDICT, STATE)):
        return {**NO_WORDS}
    _, verdict = verdict_named(home, asked)
    state = published_state(home, asked)
    names = {one.id: one.name for one in (*state.concepts, *state.retain)}
    found = Findings.of(verdict, names)
    return {"outcome": verdict.outcome.value, "headline": headline(verdict, found), "assurance": verdict.assurance}
