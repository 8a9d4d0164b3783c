"""What a home has of the record and S3 lacks, copied there; and where the two differ.

A receipt is in its slot in S3 at once (`record/shared.py`). Here follow public keys, and what was written where no S3
was configured, or by an earlier version. What S3 locks (Object Lock,
`EXPUNGE_RETENTION_DAYS`) nobody can change who can change the home, if the S3 and its keys are not themselves in the
home, as those of the local stack are; and an end that was cut off is found.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from expunge.engine.files.digests import file_digest
from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import FILE_NAME, LINE
from expunge.tasks.ledger.signatures.timestamps import FOLDER as TIMESTAMPS
from expunge.tasks.storage import s3
from expunge.tasks.storage.record.place import HEADS, NUMBER, RECORDS, known_here, own_place, place_of
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
}
"""Folders of the home and what they hold; in this order, so that a receipt in S3 has its policy there."""
COMPARED = ("timestamps", "signatures")
EARLIER = re.compile(rf"(?:receipts|signatures)/{ONE_OF_A_LINE}")
"""What earlier versions copied, under the names that it has in the home."""
FIRST = re.compile(rf"{HEADS}[^/]+/000001")


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
    place = own_place(settings)
    versions, _ = _written(client, bucket, place)
    known = {place + NUMBER: settings.home / NUMBER, **_files(settings.home, RECORD, place)}
    missing = {key: path for key, path in known.items() if key not in versions}
    for key, path in missing.items():
        s3.put_once(client, bucket, key, path.read_bytes(), file_digest(path), settings.locked_until)
    return len(missing)


def differences(settings: Settings) -> Iterator[str]:
    """Yield what receipts and signatures the home has otherwise than S3, in words.

    There each is written once, and locked if that is asked for. Of keys and policies the audit itself knows what they
    have to be. NothingOnRecord if no copy is known.
    """
    client, bucket, place = s3.client(settings), settings.bucket, place_of(settings.home)
    check_bucket(client, bucket)
    here, (versions, deletions) = _files(settings.home, COMPARED, place), _written(client, bucket, RECORDS)
    yield from _elsewhere(client, bucket, versions, here, place)
    folders = tuple(place + folder for folder in (TIMESTAMPS, HEADS))
    yield from _gone(settings, place, {*versions, *deletions})
    there = {key for key in {*versions, *deletions} if key.startswith(folders)}
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


def removed_here(settings: Settings) -> Iterator[str]:
    """Yield what an earlier version copied to S3 and the home has no more, in words. Nothing where no copy is known."""
    if known_here(settings.home):
        client, place = s3.client(settings), place_of(settings.home)
        check_bucket(client, settings.bucket)
        versions, deletions = _written(client, settings.bucket, place)
        yield from _gone(settings, place, {*versions, *deletions})


def _gone(settings: Settings, place: str, keys: Iterable[str]) -> Iterator[str]:
    for key in sorted(keys):
        name = key.removeprefix(place)
        if key.startswith(place) and EARLIER.fullmatch(name) and not (settings.home / name).is_file():
            yield (
                f"s3://{settings.bucket}/{key} is not in {settings.home}: it was removed, the end cut off, or "
                "this is an older copy"
            )


def _elsewhere(
    client: Any, bucket: str, versions: Iterable[str], here: Mapping[str, Path], place: str
) -> Iterator[str]:
    """Other places where a line of this home began: its number was exchanged, and what lies there would not be seen."""
    own = {key.removeprefix(place): path for key, path in here.items()}
    for key in sorted(versions):
        number, _, name = key.removeprefix(RECORDS).partition("/")
        if not key.startswith(place) and FIRST.fullmatch(name) and name in own:
            with suppress(IntegrityError):  # the line of another record, which has the same name
                if s3.holds(client, bucket, key, file_digest(own[name])):
                    elsewhere = f"s3://{bucket}/{RECORDS}{number}/"
                    yield f"{elsewhere} has {name} too: the home had that number before, look there"


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
    """Return the record's files by their keys in this place; a signed receipt's is its slot.

    Receipts are listed first: each is written after what it names, so that all it names is listed too.
    """
    found: list[tuple[str, Path]] = []
    for folder in reversed(list(folders)):
        below = [path for path in (home / folder).rglob("*") if path.is_file() and not path.is_symlink()]
        named = [(path.relative_to(home).as_posix(), path) for path in sorted(below, reverse=True)]
        found += [
            (place + _key(name), path) for name, path in named if re.fullmatch(f"{folder}/{RECORD[folder]}", name)
        ]
    return dict(reversed(found))


def _key(name: str) -> str:
    """Return where a file of the home lies in the record's place."""
    return re.sub(r"^signatures/([^/]+)/(\d{6})-.*", rf"{HEADS}\1/\2", name)
