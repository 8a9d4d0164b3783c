"""What a home has of the record and S3 lacks: copied once, locked, and what was done to either side shows."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from botocore.exceptions import ClientError

from expunge.tasks.core.errors import NothingOnRecord, ServiceUnreachable, UsageError, VerdictNotPassed
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.database import FILE
from expunge.tasks.preflight import reach
from expunge.tasks.storage import record_replica as vault
from expunge.tasks.storage import s3
from expunge.tasks.storage.record.place import NUMBER
from expunge.tasks.storage.record.shared import RecordInS3
from tests.flows.conftest import policy_file
from tests.tasks.records import LINE

CHAINED = ("signatures", "receipts")


def bucket_of(stack: Settings, **how: Any) -> str:
    name = f"vault-{uuid.uuid4().hex}"
    s3.client(stack).create_bucket(Bucket=name, **how)
    return name


@pytest.fixture
def settings(stack: Settings, tmp_path: Path) -> Settings:
    """A home and a bucket of its own that locks for a day."""
    bucket = bucket_of(stack, ObjectLockEnabledForBucket=True)
    return replace(stack, home=tmp_path / "home", bucket=bucket, retention_days=1)


def append(settings: Settings, who: str = "x") -> None:
    journal(settings.home, LINE).append("read", request_id="r", who=who, inputs={}, outputs={})


def stored(settings: Settings) -> list[str]:
    """Names of what is in S3, after the home's own place there."""
    found = (
        s3.client(settings)
        .list_objects_v2(Bucket=settings.bucket, Prefix=vault.place_of(settings.home))
        .get("Contents", [])
    )
    return [entry["Key"].removeprefix(vault.place_of(settings.home)) for entry in found]


def differences(settings: Settings) -> list[str]:
    return list(vault.differences(settings))


def test_the_record_is_copied_once_and_later_only_what_is_new(settings: Settings, tmp_path: Path) -> None:
    keep_policy(settings.home, "ab" * 32, policy_file(tmp_path, "cd" * 32, "stored").read_bytes())
    append(settings)
    assert vault.store(settings) == 4  # number, policy, public key, signed receipt
    assert [key.split("/")[0] for key in stored(settings)] == ["heads", "keys", "number", "policies"]
    assert vault.store(settings) == 0
    append(settings)
    assert vault.store(settings) == 1
    assert differences(settings) == []


def test_what_is_private_stays_here(settings: Settings) -> None:
    append(settings)
    vault.store(settings)
    assert (settings.home / "private" / "signing.pem").exists()
    assert {key.split("/")[0] for key in stored(settings)} == {"heads", "keys", "number"}


def test_a_home_that_was_lost_has_its_record_in_s3(settings: Settings, operator: Path) -> None:
    append(settings)
    vault.store(settings)
    before = journal(settings.home, LINE).receipts()
    shutil.rmtree(settings.home)
    found = RecordInS3.found(settings)
    assert found is not None
    found.fetch()
    assert journal(settings.home, LINE).receipts() == before
    assert vault.store(settings) == 0
    assert differences(settings) == []


def test_what_was_copied_cannot_be_destroyed(settings: Settings) -> None:
    append(settings)
    vault.store(settings)
    client, key = (
        s3.client(settings),
        vault.place_of(settings.home) + next(key for key in stored(settings) if key.startswith("heads")),
    )
    head = client.head_object(Bucket=settings.bucket, Key=key)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert (head["ObjectLockRetainUntilDate"] - head["LastModified"]).total_seconds() == pytest.approx(86_400, abs=60)
    with pytest.raises(ClientError, match=r"AccessDenied|WORM|locked"):
        client.delete_object(Bucket=settings.bucket, Key=key, VersionId=head["VersionId"])
    assert client.head_object(Bucket=settings.bucket, Key=key)["VersionId"] == head["VersionId"]


def test_attack_the_end_is_cut_off(settings: Settings) -> None:
    append(settings)
    append(settings)
    vault.store(settings)
    for folder in CHAINED:
        last = sorted((settings.home / folder / LINE).glob("*.json"))[-1]
        last.unlink()
    assert journal(settings.home, LINE).read()[1] == []  # the chain alone does not show it
    (problem,) = differences(settings)
    assert f"/heads/{LINE}/000002 is not in {settings.home}: it was removed, the end cut off" in problem


def test_attack_a_signed_receipt_is_altered_here(settings: Settings) -> None:
    append(settings)
    vault.store(settings)
    (path,) = (settings.home / "signatures" / LINE).glob("*.json")
    path.write_bytes(b"{}")
    (problem,) = differences(settings)
    assert f"{path} is not what S3 has" in problem


@pytest.mark.parametrize("delete", [False, True])
def test_attack_the_copy_is_written_over_or_deleted(settings: Settings, delete: bool) -> None:
    append(settings)
    vault.store(settings)
    client, key = (
        s3.client(settings),
        vault.place_of(settings.home) + next(key for key in stored(settings) if key.startswith("heads")),
    )
    (path,) = (settings.home / "signatures" / LINE).glob("*.json")
    if delete:
        client.delete_object(Bucket=settings.bucket, Key=key)
    else:
        client.put_object(Bucket=settings.bucket, Key=key, Body=path.read_bytes())
    (problem,) = differences(settings)
    assert problem.endswith("was written over or deleted")


def test_what_is_not_copied_yet_is_said(settings: Settings) -> None:
    append(settings)
    with pytest.raises(NothingOnRecord, match="number is missing, which says where in S3 the record is"):
        differences(settings)
    assert not (settings.home / "number").exists()
    vault.store(settings)
    append(settings)
    (problem,) = differences(settings)
    assert problem.endswith("is not in S3: the next submission copies it")


def test_attack_the_end_is_cut_off_and_the_home_given_another_number(settings: Settings) -> None:
    append(settings)
    append(settings)
    vault.store(settings)
    place = vault.place_of(settings.home)
    for folder in CHAINED:
        sorted((settings.home / folder / LINE).glob("*.json"))[-1].unlink()
    (settings.home / FILE).unlink()  # which knows the number and the last receipt
    (settings.home / NUMBER).write_text("ab" * 16)
    append(settings)
    vault.store(settings)
    (problem,) = differences(settings)
    assert problem.startswith(f"s3://{settings.bucket}/{place} has heads/{LINE}/000001")


def test_homes_that_share_a_bucket_do_not_meet(settings: Settings, tmp_path: Path) -> None:
    other = replace(settings, home=tmp_path / "other")
    for who, each in (("x", settings), ("y", other)):
        append(each, who)
        vault.store(each)
    assert differences(settings) == differences(other) == []


def test_nothing_but_the_record_is_copied(settings: Settings, tmp_path: Path) -> None:
    append(settings)
    (settings.home / "keys" / "signing.pem").write_bytes(b"a private key in the wrong place")
    (settings.home / "keys" / f"{'ab' * 32}.pem").symlink_to(settings.home / "private" / "signing.pem")
    shutil.copytree(settings.home / "receipts" / LINE, settings.home / "receipts" / f"{LINE}.bak")
    assert vault.store(settings) == 3


def test_attack_a_whole_line_is_removed(settings: Settings) -> None:
    append(settings)
    vault.store(settings)
    for folder in CHAINED:
        shutil.rmtree(settings.home / folder / LINE)
    (problem,) = differences(settings)
    assert problem.endswith("or this is an older copy")


def test_attack_the_name_of_a_receipt_is_deleted_before_it_is_there(settings: Settings) -> None:
    vault.store(settings)
    append(settings)
    (path,) = (settings.home / "signatures" / LINE).glob("*.json")
    key = f"{vault.place_of(settings.home)}heads/{LINE}/000001"
    s3.client(settings).delete_object(Bucket=settings.bucket, Key=key)
    assert f"{path} is not in S3: the next submission copies it" in differences(settings)
    assert vault.store(settings) == 2
    assert differences(settings) == [f"s3://{settings.bucket}/{key} was written over or deleted"]


def test_what_was_copied_without_a_lock_is_said_where_one_is_asked_for(settings: Settings) -> None:
    append(settings)
    vault.store(replace(settings, retention_days=0))
    assert differences(replace(settings, retention_days=0)) == []
    (problem,) = differences(settings)
    assert " is not locked: " in problem


def test_a_bucket_that_is_none_is_named(settings: Settings) -> None:
    append(settings)
    vault.store(settings)
    with pytest.raises(ServiceUnreachable, match="check EXPUNGE_BUCKET"):
        differences(replace(settings, bucket="Bad Name"))


def test_without_days_it_is_copied_and_not_locked(stack: Settings, tmp_path: Path) -> None:
    settings = replace(stack, home=tmp_path / "home", bucket=bucket_of(stack))
    append(settings)
    assert vault.store(settings) == 3
    assert differences(settings) == []
    head = s3.client(settings).head_object(
        Bucket=settings.bucket, Key=vault.place_of(settings.home) + stored(settings)[0]
    )
    assert "ObjectLockMode" not in head


def test_a_bucket_that_cannot_lock_is_refused_before_any_work(stack: Settings) -> None:
    settings = replace(stack, bucket=bucket_of(stack), retention_days=1)
    with pytest.raises(ServiceUnreachable, match="has no Object Lock, which EXPUNGE_RETENTION_DAYS asks for"):
        reach(settings)
    reach(replace(settings, retention_days=0))


def test_the_local_stacks_bucket_can_lock(stack: Settings) -> None:
    reach(replace(stack, retention_days=1))


def test_a_failure_is_recorded_in_s3_and_stays_what_it_was(
    stack: Settings, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    append(settings)
    failed = VerdictNotPassed("FAIL", "it is still seen")
    with pytest.raises(VerdictNotPassed), vault.stored(settings):
        raise failed
    assert differences(settings) == []
    going = replace(settings, bucket=bucket_of(stack), retention_days=0)
    with pytest.raises(VerdictNotPassed), vault.stored(going):
        fail_without_bucket(going, failed)
    assert "the record was not copied to S3" in caplog.text
    going = replace(going, bucket=bucket_of(stack))
    with pytest.raises(ServiceUnreachable, match="all is done but one thing"), vault.stored(going):
        remove_bucket(going)


def fail_without_bucket(settings: Settings, failure: Exception) -> NoReturn:
    remove_bucket(settings)
    raise failure


def remove_bucket(settings: Settings) -> None:
    client = s3.client(settings)
    for version in client.list_object_versions(Bucket=settings.bucket).get("Versions", []):
        client.delete_object(Bucket=settings.bucket, Key=version["Key"], VersionId=version["VersionId"])
    client.delete_bucket(Bucket=settings.bucket)


@pytest.mark.parametrize("value", ["-1", "ten", "1.5", "36501"])
def test_a_number_of_days_that_is_none_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"EXPUNGE_RETENTION_DAYS is '{value}'"):
        Settings.of(tmp_path, {"EXPUNGE_RETENTION_DAYS": value}, needed=())
