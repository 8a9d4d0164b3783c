"""Bring a home up to the record in S3, before anything is read from it or decided by it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable, UsageError
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.paths import receipts_folder
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.line.head import sharing
from expunge.tasks.ledger.line.work import bring_back
from expunge.tasks.ledger.queries import lines
from expunge.tasks.ledger.receipt import FILE_NAME
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.storage import s3
from expunge.tasks.storage.record.place import store_of
from expunge.tasks.storage.record.shared import RecordInS3
from expunge.tasks.storage.s3 import check_bucket


def fetch_record(settings: Settings) -> None:
    """Store in the home what the record in S3 has and the home lacks.

    Raises ServiceUnreachable where S3 cannot be asked, LedgerError where it has a receipt that does not follow.
    """
    if RecordInS3.found(settings):
        RecordInS3.own(settings).fetch()  # the home knows its number from then on


def fetch_if_possible(settings: Settings) -> None:
    """Do the same for work that asks all services by name afterwards, and refuses then where S3 is away."""
    with suppress(ServiceUnreachable):
        fetch_record(settings)


def fetch_or_say(settings: Settings, why_not: ServiceUnreachable | None = None) -> None:
    """Do the same for an answer that the home can give alone; say on stderr until which receipts it holds then."""
    try:
        if why_not:
            raise why_not
        fetch_record(settings)
    except ServiceUnreachable as error:
        print(_alone(settings.home, error), file=sys.stderr)


def bring_up_to_date(home: Path) -> str:
    """Store in the home what other machines put on record; say why it may be old where that is not possible, else "".

    Nothing is done where no S3 is configured. LedgerError and IntegrityError where S3 has what does not follow.
    """
    try:
        if (settings := store_of(home)) is None:
            return ""
        check_bucket(s3.client(settings, patient=False), settings.bucket)
        with private(home):
            fetch_record(settings)
    except (ServiceUnreachable, UsageError, OSError) as error:
        return f"this may be old. {_alone(home, error)}"
    return ""


def fetch_works(home: Path) -> list[str]:
    """Fetch what all works on record left, and their bundles, where the home lacks it: an audit reads all of it.

    Returns what is wrong with what is there, in words. Nothing is done where S3 cannot be asked.
    """
    problems = list[str]()
    with fetching(home):
        for line in lines(home):
            chain, _ = journal(home, line).read()
            for work in dict.fromkeys(receipt.work for receipt in chain):
                try:
                    bring_back(home, work, chain, bundle=True)
                except IntegrityError as error:
                    problems.append(f"{line}: {error}")
    return problems


@contextmanager
def fetching(home: Path) -> Iterator[None]:
    """Let what is done inside fetch what works left; where S3 cannot be asked the home alone is read."""
    try:
        settings = store_of(home)
        record = RecordInS3.found(settings) if settings else None
    except (ServiceUnreachable, UsageError):
        record = None
    with private(home), sharing(home, record) if record else nullcontext():
        yield


def _alone(home: Path, error: Exception) -> str:
    return f"{home} alone is read, which has {', '.join(_last_numbers(home)) or 'nothing'}: {error}"


def _last_numbers(home: Path) -> list[str]:
    """Say of each line which is the last receipt in the home."""
    folders = sorted(receipts_folder(home).glob("*/"))
    found = {
        path.name: [name for file in path.iterdir() if (name := FILE_NAME.fullmatch(file.name))] for path in folders
    }
    return [
        f"{line} until receipt {max(int(name['sequence']) for name in names)}" for line, names in found.items() if names
    ]
