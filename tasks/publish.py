"""Publication: the bundle's content first, under its digest, then the pointer of the model line that names it."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.bundle import MANIFEST
from engine.canonical import canonical_json
from tasks import s3
from tasks.errors import IntegrityError, UsageError
from tasks.manifest import DIGEST, Bundle, check_bundle, parse
from tasks.settings import Settings

LINE = re.compile(r"[a-z0-9-]{1,63}")  # shorter than a digest, so that the two are never taken for each other


def publish_bundle(folder: Path, line: str, settings: Settings, follows: Collection[str] | None = None) -> str:
    """Upload the bundle in `folder` and make it the approved one of `line`; sends nothing that is there already.

    Returns the bundle's digest. Raises IntegrityError when folder and manifest differ, S3 holds other bytes, or the
    approved bundle is neither one of `follows` (None: whatever it is) nor this one; PointerMoved when another was
    faster, ServiceUnreachable when S3 cannot be used, ValueError on a bad line name. None of these moves the pointer.
    """
    pointer_key = _pointer_key(line)
    bundle = check_bundle(folder)
    client = s3.client(settings)
    before = s3.get_pointer(client, settings.bucket, pointer_key)
    if follows is not None:
        check_successor(line, before and _named(before), {*follows, bundle.digest})
    _upload(client, settings.bucket, bundle)
    _point(client, settings.bucket, pointer_key, line, bundle.digest, before)
    return bundle.digest


def fetch_bundle(line_or_digest: str, folder: Path, settings: Settings) -> Bundle:
    """Download the approved bundle of a line, or one by its digest, into `folder`; every file's sha256 is checked.

    The folder appears whole or not at all; one that is there and right is left alone.
    Raises IntegrityError when anything is missing or differs, ServiceUnreachable when S3 cannot be used, UsageError for
    what is neither line nor digest and for a folder that cannot be made.
    """
    client = s3.client(settings)
    digest = _resolve(client, settings.bucket, line_or_digest)
    if not os.path.lexists(folder):
        _download(client, settings.bucket, digest, folder)
    elif not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} is there and no bundle: name a folder that is not there yet")
    bundle = check_bundle(folder)
    if bundle.digest != digest:
        raise IntegrityError(f"{folder} holds bundle {bundle.digest}, not {digest}: remove the folder and fetch again")
    return bundle


def approved(line: str, settings: Settings) -> str | None:
    """The digest of the line's approved bundle, None before its first publication."""
    pointer = s3.get_pointer(s3.client(settings), settings.bucket, _pointer_key(line))
    return None if pointer is None else _named(pointer)


def bundle_uri(digest: str, settings: Settings) -> str:
    """Where a bundle lies, or would."""
    return f"s3://{settings.bucket}/{_prefix(digest)}"


def is_published(digest: str, settings: Settings) -> bool:
    """Whether the store holds the whole bundle; IntegrityError as `published_files`."""
    return bool(published_files(digest, settings))


def published_files(digest: str, settings: Settings) -> dict[str, str]:
    """The sha256 of each file of a bundle, none unless the store holds all of them. IntegrityError if an object of it
    has other bytes than the manifest, which is known by its own digest, says."""
    client, prefix = s3.client(settings), _prefix(digest)
    if not s3.holds(client, settings.bucket, f"{prefix}/{MANIFEST}", digest):
        return {}
    files = parse(s3.read(client, settings.bucket, f"{prefix}/{MANIFEST}"), f"bundle {digest}")
    whole = all(s3.holds(client, settings.bucket, f"{prefix}/{path}", sha256) for path, sha256 in files.items())
    return files if whole else {}


def check_served(line: str, bundle: str, settings: Settings) -> None:
    """IntegrityError unless the line's pointer names this bundle, which was published on it last."""
    if (served := approved(line, settings)) != bundle:
        raise IntegrityError(
            f"{line} serves {served or 'nothing'}, and bundle {bundle} was published last: submit again what was cut "
            "short, or restore an earlier version of the pointer, which somebody else moved"
        )


def check_successor(line: str, found: str | None, bundles: Collection[str]) -> None:
    """IntegrityError unless `found`, the line's approved bundle, is one of these, or there is none.

    A bundle holds what was in force when its policy was read; upon any other predecessor it would undo the rest.
    """
    if found is None or found in bundles:
        return
    raise IntegrityError(
        f"bundle {found} is approved on line {line}, and this takedown does not know it: submit the policy again, so "
        "that it is folded with what was published since; if that ends here too, an earlier submission was cut short "
        "(submit that one again) or the line belongs to another EXPUNGE_HOME (submit from there)"
    )


def _upload(client: Any, bucket: str, bundle: Bundle) -> None:
    """Payload first, manifest last: a manifest in the store means that the bundle there is whole."""
    for path, sha256 in [*sorted(bundle.files.items()), (MANIFEST, bundle.digest)]:
        s3.put_once(client, bucket, f"{_prefix(bundle.digest)}/{path}", bundle.folder / path, sha256)


def _point(client: Any, bucket: str, key: str, line: str, digest: str, before: s3.Pointer | None) -> None:
    if before is not None and _named(before) == digest:
        return
    body = canonical_json(
        {
            "line": line,
            "bundle": digest,
            "manifest": f"{_prefix(digest)}/{MANIFEST}",
            "previous": None if before is None else _named(before),
            "published_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    try:
        s3.swing_pointer(client, bucket, key, body, None if before is None else before.etag)
    except s3.PointerMoved as moved:
        if moved.winner is None or _named(moved.winner) != digest:
            raise


def _resolve(client: Any, bucket: str, line_or_digest: str) -> str:
    if DIGEST.fullmatch(line_or_digest):
        return line_or_digest
    if not LINE.fullmatch(line_or_digest):
        raise UsageError(
            f"{line_or_digest!r} is neither a line, as `expunge status` names it, nor the 64 hex digits of a bundle"
        )
    pointer = s3.get_pointer(client, bucket, _pointer_key(line_or_digest))
    if pointer is None:
        raise IntegrityError(f"line {line_or_digest} has no approved bundle: publish one first")
    return _named(pointer)


def _download(client: Any, bucket: str, digest: str, folder: Path) -> None:
    content = s3.read(client, bucket, f"{_prefix(digest)}/{MANIFEST}")
    if hashlib.sha256(content).hexdigest() != digest:
        raise IntegrityError(f"the manifest of bundle {digest} in s3://{bucket} was changed: publish it again")
    with _new(folder) as part:
        for path, sha256 in parse(content, f"bundle {digest}").items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            if s3.download(client, bucket, f"{_prefix(digest)}/{path}", part / path) != sha256:
                raise IntegrityError(f"{path} of bundle {digest} in s3://{bucket} was changed: publish it again")
        (part / MANIFEST).write_bytes(content)


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """An empty folder beside it, which takes its name at the end, or is gone if there was an error."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
        part.chmod(0o755)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder ({error.strerror}); name another") from None
    try:
        yield part
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _named(pointer: s3.Pointer) -> str:
    try:
        digest = json.loads(pointer.body)["bundle"]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError("the line's pointer is no JSON with a bundle: restore an earlier version of it") from error
    if not (isinstance(digest, str) and DIGEST.fullmatch(digest)):
        raise IntegrityError(f"the line's pointer names {digest!r}, no digest: restore an earlier version of it")
    return digest


def _pointer_key(line: str) -> str:
    if not LINE.fullmatch(line):
        raise ValueError(f"line {line!r}: use 1 to 63 lowercase letters, digits and dashes")
    return f"lines/{line}/approved.json"


def _prefix(digest: str) -> str:
    return f"bundles/{digest}"
