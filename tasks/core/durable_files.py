"""What it means that a file of the home cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge.tasks.core.errors import IntegrityError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """IntegrityError where what a verdict rests on is there and cannot be read: it is never taken for absent."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} cannot be read ({type(error).__name__}: {error}): restore it, or remove it and submit again"
        ) from error
