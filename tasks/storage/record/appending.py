"""Append to the record outside of a flow: a notice, a decision. What other machines appended is fetched first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from expunge.tasks.ledger.line.head import sharing
from expunge.tasks.ledger.state.leases import LeaseLost
from expunge.tasks.storage.record.place import store_of
from expunge.tasks.storage.record.shared import RecordInS3

TRIES = 8
"""So often another machine may be faster in a row; each time it has put something on record."""
Found = TypeVar("Found")


def append_for_all(home: Path, act: Callable[[], Found]) -> Found:
    """Return what `act` returns, which reads the record and appends to it: in S3 first, then in the home.

    It begins again where another machine used the number of its receipt. Where no S3 is configured, the home alone has
    the record.

    Raises:
        ServiceUnreachable: S3 cannot be used, or has the record and is not configured; nothing is on record then.
    """
    settings = store_of(home)
    if settings is None:
        return act()
    record = RecordInS3.own(settings)
    for _ in range(TRIES - 1):
        try:
            return _appended(record, home, act)
        except LeaseLost:
            continue
    return _appended(record, home, act)


def _appended(record: RecordInS3, home: Path, act: Callable[[], Found]) -> Found:
    with sharing(home, record):
        record.fetch()
        return act()
