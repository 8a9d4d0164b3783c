"""Append to the record outside of a flow: a notice, a decision. What other machines appended is fetched first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from expunge.tasks.core.errors import ServiceUnreachable
from expunge.tasks.core.settings import Settings, stack_folder
from expunge.tasks.ledger.line.head import sharing
from expunge.tasks.ledger.state.leases import LeaseLost
from expunge.tasks.storage.record.place import NUMBER
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


def store_of(home: Path) -> Settings | None:
    """Return the settings of the S3 that has the record of a home; None where the home alone has it.

    A local stack that is down has its data in the home, so no other machine appends meanwhile.

    Raises:
        ServiceUnreachable: the record is in an S3 that is not configured.
    """
    settings = Settings.load((), home)
    if settings.s3_endpoint_url:
        return settings
    if (home / NUMBER).exists() and not stack_folder(home).exists():
        raise ServiceUnreachable(
            f"the record of {home} is in S3, where other machines may append to it, and AWS_ENDPOINT_URL_S3 is not "
            "set: set it, or run `make up` where S3 was that of the local stack"
        )
    return None
