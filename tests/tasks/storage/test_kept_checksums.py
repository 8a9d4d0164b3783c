"""A SHA-256 that S3 keeps is one that it computed: no request sets it to that of other bytes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from expunge.canonical_json import sha256
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3

GOOD, JUNK = b"weights" * 1000, b"garbage" * 1000
DIGEST = s3.as_base64(sha256(GOOD))
Attack = Callable[[Any, str, str], object]


def put(client: Any, bucket: str, key: str, **more: Any) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=JUNK, **more)


def named(header: str) -> Attack:
    """Write with a header of the name under which the server might keep the checksum."""

    def attack(client: Any, bucket: str, key: str) -> None:
        def add(request: Any, **_: Any) -> None:
            request.headers[header] = DIGEST

        client.meta.events.register("before-sign.s3.PutObject", add)
        put(client, bucket, key)

    return attack


def in_parts(whole: str) -> Attack:
    def attack(client: Any, bucket: str, key: str) -> None:
        upload = client.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256")["UploadId"]
        own = {"ChecksumSHA256": s3.as_base64(sha256(JUNK))}
        request = {"Bucket": bucket, "Key": key, "UploadId": upload}
        part = client.upload_part(**request, PartNumber=1, Body=JUNK, **own)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], **own}]}
        client.complete_multipart_upload(
            **request, MultipartUpload=parts, **({"ChecksumSHA256": whole} if whole else {})
        )

    return attack


def copied(client: Any, bucket: str, key: str) -> None:
    def add(request: Any, **_: Any) -> None:
        request.headers["x-amz-checksum-sha256"] = DIGEST

    put(client, bucket, f"{key}.junk")
    client.meta.events.register("before-sign.s3.CopyObject", add)
    client.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": f"{key}.junk"})


def posted(client: Any, bucket: str, key: str) -> None:
    fields = {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": DIGEST}
    form = client.generate_presigned_post(bucket, key, fields, [{name: value} for name, value in fields.items()])
    requests.post(form["url"], data=form["fields"], files={"file": JUNK})


ATTACKS: dict[str, Attack] = {
    "checksum": lambda *place: put(*place, ChecksumSHA256=DIGEST),
    "metadata": lambda *place: put(*place, Metadata={"x-amz-checksum-sha256": DIGEST}),
    "header of the server": named("Seaweed-X-Amz-Checksum-Sha256"),
    "parts": in_parts(""),
    "parts with that of the whole": in_parts(DIGEST),
    "copy": copied,
    "form": posted,
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_attack_junk_is_never_kept_under_the_checksum_of_what_it_replaces(stack: Settings, attack: Attack) -> None:
    client, key = s3.client(stack), f"checksums/{uuid.uuid4()}"
    s3.put_once(client, stack.bucket, key, GOOD, sha256(GOOD))
    assert s3.kept_sha256(client, stack.bucket, key) == sha256(GOOD), "the positive control"
    with suppress(ClientError):
        attack(client, stack.bucket, key)
    held = s3.read(client, stack.bucket, key)
    assert s3.kept_sha256(client, stack.bucket, key) in ("", sha256(held))
