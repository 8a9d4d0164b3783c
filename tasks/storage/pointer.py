"""The pointer of a line: a small object in S3 that names the approved bundle and moves only from what was read.

It states the fencing token of whoever moved it last, and nobody with a smaller one moves it. Whoever takes over a line
raises the token before he begins: what a paused worker has read of the pointer is not what he finds there any more.
"""

import hashlib
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from expunge.canonical_json import canonical_json
from expunge.engine.files.bundle import DIGEST
from expunge.engine.files.reading.strict_json import SMALL, parse_json
from expunge.errors import ExpungeError
from expunge.tasks.core.errors import IntegrityError, ServiceUnreachable
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import LINE
from expunge.tasks.ledger.state.leases import LeaseLost
from expunge.tasks.storage import s3


@dataclass(frozen=True)
class Pointer:
    """A pointer as it was read: `etag` is what the next swing must find."""

    body: bytes
    etag: str

    @property
    def bundle(self) -> str | None:
        """The digest that it names, None where it only bars earlier workers; IntegrityError if it names none."""
        digest = self._content["bundle"]
        if digest is None and self.fencing_token:
            return None
        if not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
            raise IntegrityError(f"the line's pointer names {digest!r}, no digest: restore an earlier version of it")
        return digest

    @property
    def fencing_token(self) -> int:
        """The token of whoever moved it last, 0 where it states none; IntegrityError if it is no number."""
        token = self._content.get("fencing_token", 0)
        if type(token) is not int or token < 0:
            raise IntegrityError(f"the line's pointer has {token!r} as its token: restore an earlier version of it")
        return token

    @property
    def _content(self) -> dict[str, Any]:
        try:
            content = parse_json(self.body, SMALL)
            return {"bundle": content["bundle"], **content}
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"the line's pointer is no JSON with a bundle ({error}): restore an earlier version of it"
            ) from error


class PointerMoved(ExpungeError):
    """Somebody else moved the pointer first; `winner` is what it says now."""

    exit_code = 6

    def __init__(self, key: str, winner: Pointer | None) -> None:
        super().__init__(f"{key} was moved by another publisher: read it again and decide anew")
        self.winner = winner


def pointer_key(line: str) -> str:
    """Raise ValueError on a name that no line can have."""
    if not LINE.fullmatch(line):
        raise ValueError(f"line {line!r}: use 1 to 63 lowercase letters, digits and dashes")
    return f"lines/{line}/approved.json"


def pointer_uri(line: str, settings: Settings) -> str:
    return f"s3://{settings.bucket}/{pointer_key(line)}"


def approved(line: str, settings: Settings) -> str | None:
    """Return the digest of the line's approved bundle, None before its first publication."""
    pointer = get_pointer(s3.client(settings), settings.bucket, line)
    return None if pointer is None else pointer.bundle


def get_pointer(client: Any, bucket: str, line: str) -> Pointer | None:
    """Return the line's pointer as it stands, None before its first publication."""
    with s3.reaching(client):
        try:
            answer = client.get_object(Bucket=bucket, Key=pointer_key(line))
        except ClientError as error:
            if s3.code(error) in s3.ABSENT:
                return None
            raise
        return Pointer(answer["Body"].read(SMALL + 1), answer["ETag"])


def point(
    client: Any, bucket: str, line: str, digest: str, manifest: str, before: Pointer | None, token: int = 0
) -> None:
    """Have the line name this bundle, whose `manifest` lies under that key, if it still names what it did `before`.

    `token` is that of the line's lease; 0 moves only a pointer that states none. PointerMoved if another publisher was
    faster, with another bundle; LeaseLost if that was a worker with a greater token.
    """
    _refuse_late(line, before, token)
    if before is not None and before.bundle == digest:
        return
    content = {
        "manifest": manifest,
        "previous": None if before is None else before.bundle,
        "published_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    try:
        _swing(client, bucket, line, _body(line, digest, token, content), None if before is None else before.etag)
    except PointerMoved as moved:
        _refuse_late(line, moved.winner, token)
        if moved.winner is None or moved.winner.bundle != digest:
            raise


def raise_fence(settings: Settings, line: str, token: int) -> None:
    """Let the pointer name what it names, with this token: no worker with a smaller one moves it from now on.

    A line without a pointer gets one that names no bundle. LeaseLost where there is a greater token.
    """
    client = s3.client(settings)
    for _ in range(s3.CONFLICT_TRIES):
        before = get_pointer(client, settings.bucket, line)
        _refuse_late(line, before, token)
        content = {
            name: before._content.get(name) if before else None for name in ("manifest", "previous", "published_at")
        }
        body = _body(line, before and before.bundle, token, content)
        with suppress(PointerMoved):  # by one who is late, and is known then
            return _swing(client, settings.bucket, line, body, None if before is None else before.etag)
    raise ServiceUnreachable(f"s3://{settings.bucket}/{pointer_key(line)} is moved all the time: run again later")


def _body(line: str, bundle: str | None, token: int, content: Mapping[str, Any]) -> bytes:
    stated = {"fencing_token": token} if token else {}
    return canonical_json({**content, "line": line, "bundle": bundle, **stated})


def _refuse_late(line: str, found: Pointer | None, token: int) -> None:
    if found is not None and found.fencing_token > token:
        raise LeaseLost(line, "a publication")


def _swing(client: Any, bucket: str, line: str, body: bytes, etag: str | None) -> None:
    """Write `body` if the pointer still has `etag` (None: if there is no pointer yet).

    Raises PointerMoved, carrying the winner, when the race is lost; a retried request that had won counts as won.
    """
    for _ in range(s3.CONFLICT_TRIES):
        if _put_if(client, bucket, line, body, etag):
            return
        winner = get_pointer(client, bucket, line)
        if winner is not None and winner.body == body:
            return
        if (winner and winner.etag) != etag:
            raise PointerMoved(pointer_key(line), winner)
        time.sleep(s3.CONFLICT_PAUSE_SECONDS)  # S3 was busy with this key, and nobody has moved it
    raise ServiceUnreachable(f"s3://{bucket}/{pointer_key(line)} stayed in conflict: run again later")


def _put_if(client: Any, bucket: str, line: str, body: bytes, etag: str | None) -> bool:
    """Return whether S3 took the body upon this etag."""
    condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
    checksum = s3.as_base64(hashlib.sha256(body).hexdigest())
    with s3.reaching(client):
        try:
            client.put_object(
                Bucket=bucket,
                Key=pointer_key(line),
                Body=body,
                ContentType="application/json",
                ChecksumSHA256=checksum,
                **condition,
            )
            return True
        except ClientError as error:
            if s3.status(error) not in (404, 409, 412) or s3.code(error) == "NoSuchBucket":
                raise
            return False


def check_served(line: str, bundle: str, settings: Settings) -> None:
    """Raise IntegrityError unless the line's pointer names this bundle, which was published on it last."""
    if (served := approved(line, settings)) != bundle:
        raise IntegrityError(
            f"{line} serves {served or 'nothing'}, and bundle {bundle} was published last: submit again what was cut "
            "short, or restore an earlier version of the pointer, which somebody else moved"
        )


def check_successor(line: str, found: str | None, bundles: Collection[str]) -> None:
    """Raise IntegrityError unless `found`, the line's approved bundle, is one of these, or there is none.

    A bundle holds what was in force when its policy was read; upon any other predecessor it would undo the rest.
    """
    if found is None or found in bundles:
        return
    raise IntegrityError(
        f"bundle {found} is approved on line {line}, and this takedown does not know it: submit the policy again, so "
        "that it is folded with what was published since; if that ends here too, an earlier submission was cut short "
        "(submit that one again) or the line belongs to another EXPUNGE_HOME (submit from there)"
    )
