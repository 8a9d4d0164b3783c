"""The record's second place: receipts, signatures, keys, policies and floors in S3 too, under the names of the home.

On disk they come first, so that no step waits for a network; they come here at the end of every submission, whatever
came of it. What S3 locks (Object Lock, `EXPUNGE_RETENTION_DAYS`) nobody can change who can change the home, if the
S3 and its keys are not themselves in the home, as those of the local stack are; and an end that was cut off is found.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from expunge.engine.files.atomic import write_once
from expunge.engine.files.digests import file_digest
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import FILE_NAME, LINE
from expunge.tasks.storage import s3
from expunge.tasks.storage.s3 import check_bucket

ONE_OF_A_LINE = f"(?:{LINE.pattern})/{FILE_NAME.pattern}"
RECORD = {
    "policies": r"[0-9a-f]{64}\.yaml",
    "floors": r"[0-9a-f]{64}\.yaml",
    "notices": r"[0-9a-f]{64}\.json",
    "decisions": r"[0-9a-f]{64}\.json",
    "keys": r"[0-9a-f]{64}\.pem",
    "timestamps": ONE_OF_A_LINE.replace(r"\.json", r"\.tsr"),
    "signatures": ONE_OF_A_LINE,
    "receipts": ONE_OF_A_LINE,
}
"""Folders of the home and what they hold; in this order, so that a receipt in S3 has its policy and signature there."""
CHAINED = ("signatures", "receipts")
COMPARED = ("timestamps", *CHAINED)
FIRST = re.compile(r"receipts/[^/]+/000001-.*")
NUMBER, RECORDS = "number", "record/"


@contextmanager
def stored(settings: Settings) -> Iterator[None]:
    """Copy what is on record afterwards, also if the work failed; that it cannot be copied hides no other failure.

    Raises ServiceUnreachable if all went well but this.
    """
    try:
        yield
    except Exception:
        try:
            store(settings)
        except Exception as error:
            logging.getLogger(__name__).warning("the record was not copied to S3: %s", error)
        raise
    try:
        store(settings)
    except (ServiceUnreachable, ClientError) as error:
        raise ServiceUnreachable(
            f"all is done but one thing, the record was not copied to S3: {error}; submit again, which copies it"
        ) from error


def store(settings: Settings) -> int:
    """Copy what S3 does not have yet; returns how many files that were. Raises ServiceUnreachable."""
    client, bucket = s3.client(settings), settings.bucket
    write_once(settings.home / NUMBER, lambda: uuid.uuid4().hex.encode())
    place = place_of(settings.home)
    versions, _ = _written(client, bucket, place)
    known = {place + NUMBER: settings.home / NUMBER, **_files(settings.home, RECORD, place)}
    missing = {key: path for key, path in known.items() if key not in versions}
    for key, path in missing.items():
        until = datetime.now(UTC) + timedelta(settings.retention_days) if settings.retention_days else None
        s3.put_once(client, bucket, key, path.read_bytes(), file_digest(path), until)
    return len(missing)


def differences(settings: Settings) -> Iterator[str]:
    """Yield what receipts and signatures the home has otherwise than S3, in words.

    There each is written once, and locked if that is asked for. Of keys and policies the audit itself knows what they
    have to be. NothingOnRecord if no copy is known.
    """
    client, bucket, place = s3.client(settings), settings.bucket, place_of(settings.home)
    check_bucket(client, bucket)
    here, (versions, deletions) = _files(settings.home, COMPARED, place), _written(client, bucket, RECORDS)
    yield from _elsewhere(bucket, versions, here, place)
    there = {key for key in {*versions, *deletions} if key.startswith(tuple(place + folder for folder in COMPARED))}
    for key in sorted({*here, *there}):
        stored_as = f"s3://{bucket}/{key}"
        if key not in here:
            yield f"{stored_as} is not in {settings.home}: it was removed, the end cut off, or this is an older copy"
        elif versions[key] == 0:
            yield f"{here[key]} is not in S3: the next submission copies it"
        elif versions[key] + deletions[key] > 1:
            yield f"{stored_as} was written over or deleted"
        elif problem := _unequal(client, bucket, key, here[key]):
            yield problem
        elif settings.retention_days and not s3.is_locked(client, bucket, key):
            yield f"{stored_as} is not locked: it was copied without EXPUNGE_RETENTION_DAYS; lock it there"


def place_of(home: Path) -> str:
    """Return where in the bucket a home's record is: `record/NUMBER/`, for several homes may share a bucket."""
    path = home / NUMBER
    if not path.is_file():
        raise NothingOnRecord(
            f"{path} is missing, which says where in S3 the record is: nothing was submitted, or lost"
        )
    return f"{RECORDS}{path.read_text(encoding='utf-8').strip()}/"


def _elsewhere(bucket: str, versions: Iterable[str], here: Iterable[str], place: str) -> Iterator[str]:
    """Other places where a line of this home began: its number was exchanged, and what lies there would not be seen."""
    firsts = {name for name in (key.removeprefix(place) for key in here) if FIRST.fullmatch(name)}
    for key in sorted(versions):
        number, _, name = key.removeprefix(RECORDS).partition("/")
        if name in firsts and not key.startswith(place):
            yield f"s3://{bucket}/{RECORDS}{number}/ has {name} too: the home had that number before, look there"


def _unequal(client: Any, bucket: str, key: str, path: Path) -> str:
    try:
        return "" if s3.holds(client, bucket, key, file_digest(path)) else f"s3://{bucket}/{key} cannot be read"
    except IntegrityError as error:
        return f"{path} is not what S3 has: {error}"


def _written(client: Any, bucket: str, prefix: str) -> tuple[Counter[str], Counter[str]]:
    """Return how often each key was written, and how often deleted."""
    versions, deletions = Counter[str](), Counter[str]()
    with s3.reaching(client):
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            versions.update(entry["Key"] for entry in page.get("Versions", []))
            deletions.update(entry["Key"] for entry in page.get("DeleteMarkers", []))
    return versions, deletions


def _files(home: Path, folders: Iterable[str], place: str) -> dict[str, Path]:
    """Return the record's files by their keys in this place.

    Receipts are listed first: each is written after what it names, so that all it names is listed too.
    """
    found: list[tuple[str, Path]] = []
    for folder in reversed(list(folders)):
        below = [path for path in (home / folder).rglob("*") if path.is_file() and not path.is_symlink()]
        named = [(path.relative_to(home).as_posix(), path) for path in sorted(below, reverse=True)]
        found += [(place + name, path) for name, path in named if re.fullmatch(f"{folder}/{RECORD[folder]}", name)]
    return dict(reversed(found))
