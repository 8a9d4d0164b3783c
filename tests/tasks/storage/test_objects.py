"""Objects on the real S3 server, and what each of its refusals becomes."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_store import fetch_bundle, publish_bundle
from tests.tasks.storage.bundles import make_bundle

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def key() -> str:
    return f"objects/{uuid.uuid4().hex}"


def refusal(status: int, code: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")


def reached(client: Any, error: ClientError) -> Exception:
    with pytest.raises((ClientError, ServiceUnreachable)) as found, s3.reaching(client):
        raise error
    return found.value


@pytest.mark.parametrize("answer", [(404, "NotHere"), (409, "Conflict"), (412, ""), (404, "NoSuchKey")])
def test_an_answer_is_left_to_the_caller(client: Any, answer: tuple[int, str]) -> None:
    error = refusal(*answer)
    assert reached(client, error) is error


@pytest.mark.parametrize(
    ("answer", "cure"),
    [
        ((404, "NoSuchBucket"), "check EXPUNGE_BUCKET and the server"),
        ((403, "Other"), "check EXPUNGE_BUCKET and the server"),
        ((499, ""), "check EXPUNGE_BUCKET and the server"),
        ((500, "InternalError"), "most often it has no room"),
        ((503, "SlowDown"), "most often it has no room"),
        ((403, "AccessDenied"), "refuses the keys"),
    ],
)
def test_any_other_answer_names_its_cure(client: Any, answer: tuple[int, str], cure: str) -> None:
    found = reached(client, refusal(*answer))
    assert isinstance(found, ServiceUnreachable)
    assert cure in str(found)


def test_an_error_that_says_nothing_has_no_status_and_no_code() -> None:
    error = ClientError({}, "PutObject")
    assert (s3.status(error), s3.code(error)) == (0, "")


def test_only_a_patient_client_waits_for_minutes(stack: Settings) -> None:
    waits = [s3.client(stack, patient).meta.config for patient in (True, False)]
    assert [(one.connect_timeout, one.read_timeout) for one in waits] == [(5, 60), (2, 5)]


def test_what_is_not_there_is_missing_and_of_no_bucket_unreachable(client: Any, stack: Settings, key: str) -> None:
    with pytest.raises(IntegrityError, match=f"{key} is missing"):
        s3.sha256_of_object(client, stack.bucket, key)
    with pytest.raises(ServiceUnreachable, match="check EXPUNGE_BUCKET"):
        s3.sha256_of_object(client, f"none-{uuid.uuid4().hex}", key)
    assert s3.find(client, stack.bucket, key) is None
    assert not s3.holds(client, stack.bucket, key, DIGEST)


def test_a_download_is_whole_or_says_what_is_missing(client: Any, stack: Settings, key: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=f"{key} is missing"):
        s3.download(client, stack.bucket, key, tmp_path / "none")
    client.put_object(Bucket=stack.bucket, Key=key, Body=CONTENT)
    assert s3.download(client, stack.bucket, key, tmp_path / "file") == DIGEST
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("how", [{}, {"ChecksumAlgorithm": "SHA256"}], ids=["no-sha256", "sha256"])
def test_an_object_is_compared_by_its_bytes_where_s3_kept_no_sha256(
    client: Any, stack: Settings, key: str, how: dict[str, str]
) -> None:
    client.put_object(Bucket=stack.bucket, Key=key, Body=CONTENT, **how)
    assert s3.kept_sha256(client, stack.bucket, key) == (DIGEST if how else "")
    assert s3.holds(client, stack.bucket, key, DIGEST)
    with pytest.raises(IntegrityError, match="was tampered with"):
        s3.holds(client, stack.bucket, key, "0" * 64)


def test_only_a_bucket_that_can_lock_is_taken_for_one(stack: Settings, client: Any, key: str) -> None:
    plain, locking = f"plain-{uuid.uuid4().hex}", f"locking-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=plain)
    client.create_bucket(Bucket=locking, ObjectLockEnabledForBucket=True)
    with pytest.raises(ServiceUnreachable, match="has no Object Lock"):
        s3.check_lock(client, plain)
    s3.check_lock(client, locking)
    s3.put_once(client, plain, key, CONTENT, DIGEST)
    s3.put_once(client, locking, key, CONTENT, DIGEST, datetime.now(UTC) + timedelta(days=1))
    assert s3.is_locked(client, locking, key)
    assert not s3.is_locked(client, plain, key)
    assert not s3.is_locked(client, plain, f"{key}/none")


def test_a_bundle_that_was_fetched_is_fetched_again_without_a_key(stack: Settings, tmp_path: Path, line: str) -> None:
    digest = publish_bundle(make_bundle(tmp_path / "made", uuid.uuid4().bytes), line, stack)
    for _ in range(2):
        assert fetch_bundle(line, tmp_path / "fetched", replace(stack, home=tmp_path)).digest == digest
    assert (tmp_path / "fetched").stat().st_mode & 0o777 == 0o755
