"""Objects in S3: each is written once, under its digest, and read whole."""

import base64
import hashlib
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    NoCredentialsError,
    ParamValidationError,
)

from expunge.engine.files.reading.strict_json import SMALL
from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable
from expunge.tasks.core.settings import Settings

CONFLICT_TRIES = 5
CONFLICT_PAUSE_SECONDS = 0.2
CHUNK_BYTES = 1 << 20
REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403", "400"}
KEYS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if they are temporary, AWS_SESSION_TOKEN"
ABSENT = {"NoSuchKey", "404"}
CHANGED = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"}


def client(settings: Settings, patient: bool = True) -> Any:
    """Return a boto3 S3 client for the settings' endpoint, which waits for seconds only if it is not `patient`.

    Raises ServiceUnreachable if there can be none.
    """
    config = Config(
        signature_version="s3v4",
        connect_timeout=5 if patient else 2,
        read_timeout=60 if patient else 5,
        retries={"mode": "standard", "max_attempts": 3 if patient else 1},
        s3={"addressing_style": "path"},
    )
    try:
        return boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            aws_session_token=settings.session_token,
            config=config,
        )
    except (ValueError, BotoCoreError) as error:
        raise ServiceUnreachable(
            f"S3: {error}; check AWS_ENDPOINT_URL_S3, AWS_DEFAULT_REGION and the keys, which go together"
        ) from error


def is_there(s3: Any, bucket: str, key: str) -> bool:
    """Return whether anything is under `key`."""
    return _find(s3, bucket, key) is not None


def is_locked(s3: Any, bucket: str, key: str) -> bool:
    """Return whether S3 keeps the object whoever asks for what."""
    found = _find(s3, bucket, key)
    return found is not None and found.get("ObjectLockMode") == "COMPLIANCE"


def put_once(
    s3: Any, bucket: str, key: str, content: Path | bytes, sha256: str, locked_until: datetime | None = None
) -> None:
    """Write `content` under `key` unless it is there; one PUT, so at most 5 GiB (S3's own limit).

    sha256: hex digest of the content, sent along and enforced by the store.
    locked_until: S3 keeps what this call writes until then, whoever asks for what (Object Lock, compliance mode).
    Raises IntegrityError when the key holds other bytes, ServiceUnreachable when S3 cannot be used.
    """
    for _ in range(CONFLICT_TRIES):
        if (found := _find(s3, bucket, key)) is not None:
            return _must_equal(s3, bucket, key, sha256, found)
        try:
            return _put_new(s3, bucket, key, content, sha256, locked_until)
        except ClientError as error:
            if code(error) in CHANGED:
                raise IntegrityError(f"{key} does not have sha256 {sha256}: it changed while being sent") from error
            if status(error) not in (409, 412):
                raise
            time.sleep(CONFLICT_PAUSE_SECONDS)  # another writer of the same key is about to finish
    raise ServiceUnreachable(f"s3://{bucket}/{key} stayed in conflict over {CONFLICT_TRIES} tries: run again later")


def holds(s3: Any, bucket: str, key: str, sha256: str) -> bool:
    """Return whether there is an object under `key`; IntegrityError if it has other bytes than `sha256` says."""
    found = _find(s3, bucket, key)
    if found is not None:
        _must_equal(s3, bucket, key, sha256, found)
    return found is not None


def read(s3: Any, bucket: str, key: str) -> bytes:
    """Return the bytes under `key`, a small object; raises IntegrityError when there are none, or far too many."""
    content = find(s3, bucket, key)
    if content is None:
        raise IntegrityError(f"s3://{bucket}/{key} is missing: publish it again from its bundle folder")
    return content


def find(s3: Any, bucket: str, key: str, most: int = SMALL) -> bytes | None:
    """Return the bytes under `key`, or None; raises IntegrityError when there are more than `most`."""
    with reaching(s3):
        try:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"]
            content = body.read(most + 1) + body.read(1)  # boto3 compares the checksum where it finds the end
        except ClientError as error:
            if code(error) in ABSENT:
                return None
            raise
    if len(content) > most:
        raise IntegrityError(f"s3://{bucket}/{key} has more than {most} bytes: restore an earlier version of it")
    return content


def download(s3: Any, bucket: str, key: str, path: Path) -> str:
    """Stream the object to `path`; returns the sha256 of what was written."""
    digest = hashlib.sha256()
    with reaching(s3), path.open("wb") as file:
        try:
            for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        except ClientError as error:
            raise _absence(error, bucket, key) from error
    return digest.hexdigest()


def kept_sha256(s3: Any, bucket: str, key: str) -> str:
    """Return the sha256 that S3 computed of the whole object when it was written; "" if it keeps none, or no object."""
    kept = (_find(s3, bucket, key) or {}).get("ChecksumSHA256", "")
    return "" if "-" in kept else base64.b64decode(kept).hex()  # that of an upload in parts is of their checksums


def sha256_of_object(s3: Any, bucket: str, key: str) -> str:
    """Return the sha256 of the bytes under `key`, read now; IntegrityError when there are none."""
    digest = hashlib.sha256()
    with reaching(s3):
        try:
            for chunk in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK_BYTES):
                digest.update(chunk)
        except ClientError as error:
            raise _absence(error, bucket, key) from error
    return digest.hexdigest()


def stored_sha256(s3: Any, bucket: str, key: str, every_byte: bool = False) -> str:
    """Return the sha256 of an object: as S3 computed it or, where it did not and for `every_byte`, of what it serves.

    IntegrityError when there is no object.
    """
    kept = "" if every_byte else kept_sha256(s3, bucket, key)
    return kept or sha256_of_object(s3, bucket, key)


def names_under(s3: Any, bucket: str, prefix: str) -> set[str]:
    """Return the keys that begin with `prefix`, without it."""
    return {key.removeprefix(prefix) for key in written_under(s3, bucket, prefix)}


def written_under(s3: Any, bucket: str, prefix: str) -> dict[str, datetime]:
    """Return by key when each object was written whose key begins with `prefix`, by the clock of S3."""
    with reaching(s3):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {entry["Key"]: entry["LastModified"] for page in pages for entry in page.get("Contents", [])}


def is_withheld(s3: Any, bucket: str, key: str) -> bool:
    """Return whether a lock or a legal hold keeps the object from being deleted now."""
    found = _find(s3, bucket, key) or {}
    until = found.get("ObjectLockRetainUntilDate")
    return found.get("ObjectLockLegalHoldStatus") == "ON" or (until is not None and until > datetime.now(UTC))


def remove(s3: Any, bucket: str, keys: Sequence[str]) -> dict[str, str]:
    """Delete these objects, at most a thousand, by one request; return by key why S3 refused one.

    What is not there is no refusal. A bucket with versions keeps each as an earlier version.
    """
    wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    with reaching(s3):
        answer = s3.delete_objects(Bucket=bucket, Delete=wanted)
    return {one["Key"]: f"{one.get('Code', '')} {one.get('Message', '')}".strip() for one in answer.get("Errors", [])}


def clock(s3: Any, bucket: str) -> datetime:
    """Return the time by the clock of S3, or by this machine's if that is earlier."""
    with reaching(s3):
        stated = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"].get("date")
    here = datetime.now(UTC)
    return min(here, parsedate_to_datetime(stated)) if stated else here


def folders_under(s3: Any, bucket: str, prefix: str) -> list[str]:
    """Return the names that follow `prefix` up to the next slash."""
    with reaching(s3):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    return sorted(name.removeprefix(prefix).removesuffix("/") for name in found)


@contextmanager
def reaching(s3: Any) -> Iterator[None]:
    """Turn connection failures and refused keys into ServiceUnreachable, with the cure."""
    url = s3.meta.endpoint_url
    try:
        yield
    except FlexibleChecksumError as error:
        raise IntegrityError(f"S3 at {url} does not have the bytes that were stored ({error}): restore them") from error
    except NoCredentialsError as error:
        raise ServiceUnreachable(f"there are no keys for S3 at {url}: set {KEYS}") from error
    except BotoCoreError as error:
        raise ServiceUnreachable(
            f"S3 at {url} does not answer ({error}): `make up`, or set AWS_ENDPOINT_URL_S3"
        ) from error
    except ClientError as error:
        if code(error) in REFUSED:
            raise ServiceUnreachable(f"S3 at {url} refuses the keys ({_said(error)}): check {KEYS}") from error
        if code(error) in ABSENT | CHANGED or (status(error) in (404, 409, 412) and code(error) != "NoSuchBucket"):
            raise  # an answer, of which the caller makes something
        raise ServiceUnreachable(f"S3 at {url} cannot serve ({error}): {_cure(error)}") from error


def _cure(error: ClientError) -> str:
    if status(error) < 500:
        return "check EXPUNGE_BUCKET and the server"
    return (
        "most often it has no room, on its disk or in the number of volumes that it may make for buckets; its log says "
        "so (of the local stack `stack/s3.log` in the home)"
    )


def _put_new(s3: Any, bucket: str, key: str, content: Path | bytes, sha256: str, locked_until: datetime | None) -> None:
    request: dict[str, Any] = {"Bucket": bucket, "Key": key, "IfNoneMatch": "*", "ChecksumSHA256": as_base64(sha256)}
    if locked_until is not None:
        request |= {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": locked_until}
    with reaching(s3), io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as body:
        s3.put_object(Body=body, **request)


def _find(s3: Any, bucket: str, key: str) -> dict[str, Any] | None:
    with reaching(s3):
        try:
            return s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if code(error) in ABSENT:
                return None
            raise


def _must_equal(s3: Any, bucket: str, key: str, sha256: str, found: dict[str, Any]) -> None:
    stored = found.get("ChecksumSHA256") or as_base64(sha256_of_object(s3, bucket, key))
    if stored != as_base64(sha256):
        raise IntegrityError(f"s3://{bucket}/{key} exists with other bytes than sha256 {sha256}: it was tampered with")


def _absence(error: ClientError, bucket: str, key: str) -> Exception:
    if code(error) in ABSENT:
        return IntegrityError(f"s3://{bucket}/{key} is missing: publish it again from its bundle folder")
    return error


def as_base64(hexdigest: str) -> str:
    """Return a digest as S3 wants it."""
    return base64.b64encode(bytes.fromhex(hexdigest)).decode()


def _said(error: ClientError) -> str:
    """S3's name of the error and its own words, which say what right is missing; a HEAD has none."""
    words = str(error.response.get("Error", {}).get("Message", ""))
    return f"{code(error)}: {words}" if words not in ("", code(error)) else code(error)


def code(error: ClientError) -> str:
    """S3's own name of the error, "" if it did not say."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status(error: ClientError) -> int:
    """Return the HTTP status that S3 answered with, 0 if it did not say."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def check_bucket(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless there is the bucket and the keys open it."""
    with reaching(client):
        try:
            client.head_bucket(Bucket=bucket)
        except (ClientError, ParamValidationError) as error:
            # a HEAD is answered without a body, so its status is all that tells why
            why = f"HTTP {status(error)}" if isinstance(error, ClientError) else "no bucket can have that name"
            raise ServiceUnreachable(
                f"S3 at {client.meta.endpoint_url} does not give access to the bucket {bucket!r} ({why}): check "
                f"EXPUNGE_BUCKET, AWS_DEFAULT_REGION, and the keys {KEYS}"
            ) from error


def check_lock(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless the bucket can lock what it holds."""
    with reaching(client):
        try:
            client.get_object_lock_configuration(Bucket=bucket)
        except ClientError as error:
            if code(error) != "ObjectLockConfigurationNotFoundError":
                raise
            raise ServiceUnreachable(
                f"the bucket {bucket!r} has no Object Lock, which EXPUNGE_RETENTION_DAYS asks for: name one that has "
                "by EXPUNGE_BUCKET, or take the variable away"
            ) from error


def check_history(client: Any, bucket: str) -> None:
    """ServiceUnreachable unless the keys may list the versions of what the bucket holds."""
    with reaching(client):
        client.list_object_versions(Bucket=bucket, MaxKeys=1)
