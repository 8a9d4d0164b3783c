"""The progress of a run on Prefect's page: a bar that each step moves on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError


@dataclass
class Progress:
    """The bar of one run, of `steps` steps; `done` of them have ended."""

    artifact: Any  # Prefect's own number of it
    steps: int
    done: int = 0


_PROGRESS: ContextVar[Progress | None] = ContextVar("progress of the run", default=None)


@contextmanager
def progress_of(request: str, steps: int) -> Iterator[None]:
    """Show a bar that each step inside moves on, and that is full in the end."""
    bar = Progress(create_progress_artifact(0.0, artifact_key("progress", request), f"steps of {request}"), steps)
    token = _PROGRESS.set(bar)
    try:
        yield
        update_progress_artifact(bar.artifact, 100.0)
    finally:
        _PROGRESS.reset(token)


def advance() -> None:
    """Move the bar on by one step."""
    if bar := _PROGRESS.get():
        bar.done += 1
        update_progress_artifact(bar.artifact, min(99.0, 100 * bar.done / bar.steps))


def tell(progress: str) -> None:
    """Say on the run's page how far it is; outside of a run nobody looks at one."""
    with suppress(MissingContextError):
        get_run_logger().info(progress)


def artifact_key(kind: str, request: str) -> str:
    """Return an artifact's key, which Prefect wants in small letters, digits and dashes."""
    return f"{kind}-{re.sub('[^a-z0-9]+', '-', request.lower()).strip('-')}"
