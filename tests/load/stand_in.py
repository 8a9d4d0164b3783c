"""Drawing that is made up: the target is on no picture of an edited model, and all else is on every picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from expunge.engine.stats.evidence.table import Row
from expunge.tasks.evidence import gather
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.workers import Done, Examiner, Work, picture_store
from tests.tasks.evidence.examined import made_up

SECONDS = 0.01
"""What a picture takes that is not there yet. A run that is killed is often killed while it draws."""


def stand_in() -> None:
    """Let this process make pictures up from now on."""
    gather.crew = _crew  # type: ignore[assignment]


def _erased(row: Row) -> bool:
    return row.arm == "before" or row.role != "target"


@contextmanager
def _crew(home: Path, judge: Recorded, workers: int = 1) -> Iterator[Examiner]:
    def do(work: Sequence[Work]) -> Iterator[Done]:
        store = picture_store(home)
        for part in work:
            time.sleep(SECONDS * len(part.lacks(store)))
            yield Done(made_up(part, store, _erased), 0, 0.0)

    yield do
