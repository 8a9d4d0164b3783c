"""A worker of a load test: it submits one policy file, whose pictures are made up, and ends with its exit code."""

from __future__ import annotations

import os
from pathlib import Path

from expunge.tasks.core.settings import Settings
from tests.faults.runs import submit_and_exit
from tests.load.stand_in import stand_in


def submit(policy: str) -> None:
    """Submit a file; what is printed goes to the log beside the home."""
    log = Path(os.environ["EXPUNGE_HOME"]).parent / "log"
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    stand_in()
    submit_and_exit(Path(policy), Settings.load())
