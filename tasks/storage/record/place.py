"""Where in a bucket the record lies: `record/NUMBER/`, for several records may share a bucket.

The number belongs to the database, which all workers share. A copy of it is in each home. Where both were lost, it is
that of the one record in the bucket which a key of ours signed. A new record is numbered by the key that signs it: two
machines that begin it at the same moment, each with a database of its own, begin the same one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from expunge.canonical_json import sha256
from expunge.engine.files.atomic import write_once
from expunge.tasks.core.errors import NothingOnRecord, ServiceUnreachable, UsageError
from expunge.tasks.core.settings import Settings, stack_folder
from expunge.tasks.ledger.receipt import LINE
from expunge.tasks.ledger.signatures.signing import check_key, opened, signing_key
from expunge.tasks.ledger.signatures.trust import trusted_keys
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.record_number import agree_on, known_number
from expunge.tasks.storage import s3

NUMBER, RECORDS, HEADS = "number", "record/", "heads/"
IS_NUMBER = re.compile(r"[0-9a-f]{32}")


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


def place_of(home: Path) -> str:
    """Return where in the bucket the record of a home lies.

    NothingOnRecord as long as it lies nowhere; UsageError as `known_here`.
    """
    if (number := known_here(home)) is None:
        raise NothingOnRecord(
            f"{home / NUMBER} is missing, which says where in S3 the record is: nothing was submitted, or lost"
        )
    return f"{RECORDS}{number}/"


def own_place(settings: Settings) -> str:
    """Return the same, and give the record a number if it has none; home and database have it from then on.

    Raises UsageError as `known_here`, and where nobody can tell which record is meant.
    """
    home = settings.home
    number = known_here(home) or found_in_s3(settings) or _of_key(home)
    number = agree_on(Database.of(home), number)
    write_once(home / NUMBER, number.encode)
    return place_of(home)


def _of_key(home: Path) -> str:
    """Return the number of a new record that the key of this home signs."""
    check_key(home)  # which makes the home's own, if there is none
    return sha256("\n".join(key.keyid for key in signing_key(home)).encode())[:32]


def known_here(home: Path) -> str | None:
    """Return the number of the record by home and database, None where neither has one.

    Raises UsageError where they have different ones, or one that is none.
    """
    file, database = home / NUMBER, Database.of(home)
    kept = file.read_text(encoding="utf-8").strip() if file.is_file() else None
    shared = known_number(database)
    if wrong := [number for number in (kept, shared) if number is not None and not IS_NUMBER.fullmatch(number)]:
        raise UsageError(f"{wrong[0]!r} is no number of a record, which has 32 hex digits: see {file}")
    if kept and shared and kept != shared:
        raise UsageError(
            f"{home} is a home of the record {kept}, and {database.shown} serves the record {shared}: set EXPUNGE_HOME "
            "or EXPUNGE_DATABASE to what goes together"
        )
    return shared or kept


def found_in_s3(settings: Settings) -> str | None:
    """Return the number of the one record in the bucket that a key of ours signed, None if there is none.

    Raises UsageError where there are several.
    """
    found = list(_signed_by_us(settings))
    if len(found) > 1:
        raise UsageError(
            f"s3://{settings.bucket}/{RECORDS} has {len(found)} records that our key signed: write the number of the "
            f"one that is meant into {settings.home / NUMBER}, one of {', '.join(found)}"
        )
    return found[0] if found else None


def _signed_by_us(settings: Settings) -> Iterator[str]:
    keys = trusted_keys(settings.home)
    client, bucket = s3.client(settings), settings.bucket
    for number in s3.folders_under(client, bucket, RECORDS) if keys else ():
        place = f"{RECORDS}{number}/{HEADS}"
        lines = [line for line in s3.folders_under(client, bucket, place) if LINE.fullmatch(line)]
        signed = s3.find(client, bucket, f"{place}{lines[0]}/{1:06d}") if lines else None
        with suppress(ValueError):
            if IS_NUMBER.fullmatch(number) and signed and opened(signed, keys).line == lines[0]:
                yield number
