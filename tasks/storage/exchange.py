"""What a person's machine and a worker hand each other through S3: a policy one way, the result of its run the other.

Prefect shows parameters to all who may open its page, and takes 512 KB of them. So a policy goes by S3, under its
digest, and so does the result, which may name a person. A worker signs the result: whoever can write to the bucket
could lay a PASS there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.files.reading.strict_json import parse_json
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord, UsageError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.signatures.signing import open_statement, sign_statement
from expunge.tasks.ledger.signatures.trust import TRUSTED, trusted_keys
from expunge.tasks.storage import s3

HANDED_IN, RESULTS = "handed-in/", "results/"
MOST_BYTES = 1_000_000
RESULT = "application/vnd.expunge.result+json"
IS_RUN = re.compile(r"[0-9a-f-]{36}/[0-9]{1,6}")


def hand_in(data: bytes, settings: Settings) -> str:
    """Lay a policy's file into S3, and return its sha256, by which a worker fetches it. ServiceUnreachable."""
    digest = sha256(data)
    s3.put_once(s3.client(settings), settings.bucket, HANDED_IN + digest, data, digest)
    return digest


def handed_in(digest: str, settings: Settings) -> bytes:
    """Return the file that was handed in with this sha256.

    Raises NothingOnRecord if there is none, IntegrityError if it has another sha256 by now.
    """
    key = HANDED_IN + digest
    data = s3.find(s3.client(settings), settings.bucket, key, MOST_BYTES)
    if data is None:
        raise NothingOnRecord(f"s3://{settings.bucket}/{key} is missing: hand the policy in again")
    if sha256(data) != digest:
        raise IntegrityError(f"s3://{settings.bucket}/{key} was changed: remove it, and hand the policy in again")
    return data


def keep_result(run: str, result: Mapping[str, Any], settings: Settings) -> None:
    """Sign what a run came to and lay it into S3. `run` is Prefect's id of it, a slash, and how often it began."""
    signed = sign_statement(settings.home, canonical_json({**result, "run": run}), RESULT)
    s3.put_once(s3.client(settings), settings.bucket, _key(run), signed, sha256(signed))


def find_result(run: str, settings: Settings) -> dict[str, Any] | None:
    """Return what a run came to, None as long as there is nothing.

    Raises IntegrityError unless a key that counts here signed it, and for this run; UsageError if no key counts here.
    """
    signed = s3.find(s3.client(settings), settings.bucket, _key(run))
    if signed is None:
        return None
    if not (keys := trusted_keys(settings.home)):
        raise UsageError(f"nobody can tell who signed the result of the run: set {TRUSTED} to the workers' public key")
    where = f"s3://{settings.bucket}/{_key(run)}"
    try:
        found = parse_json(open_statement(signed, RESULT, keys))
    except ValueError as error:
        raise IntegrityError(
            f"{where} {error}: set {TRUSTED} to the workers' public key, or see who can write to the bucket"
        ) from None
    if found.get("run") != run:
        raise IntegrityError(f"{where} is the result of the run {found.get('run')}: see who can write to the bucket")
    return found


def _key(run: str) -> str:
    if not IS_RUN.fullmatch(run):
        raise UsageError(f"{run!r} is no run of Prefect's: give the id that its page shows")
    return f"{RESULTS}{run}.json"
