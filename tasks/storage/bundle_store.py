"""Publication: the bundle's content first, under its digest, then the pointer of the model line that names it."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expunge.engine.files.bundle import DIGEST, MANIFEST, VOUCHER
from expunge.tasks.core.errors import IntegrityError, UsageError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import LINE
from expunge.tasks.ledger.signatures.keys import public_key
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.leases import renew, turn
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_signature import receipt_of
from expunge.tasks.storage.manifest import Bundle, check_bundle, parse, prefix
from expunge.tasks.storage.pointer import check_successor, get_pointer, point


def publish_bundle(
    folder: Path,
    line: str,
    settings: Settings,
    follows: Collection[str] | None = None,
    last_look: Callable[[], None] = lambda: None,
) -> str:
    """Upload the bundle in `folder` and make it the approved one of `line`; sends nothing that is there already.

    Returns the bundle's digest. Raises IntegrityError when folder and manifest differ, S3 holds other bytes, or the
    approved bundle is neither one of `follows` (None: whatever it is) nor this one; PointerMoved when another was
    faster, LeaseLost when another took over the line, ServiceUnreachable when S3 cannot be used, ValueError on a bad
    line name. What `last_look` raises, which is called when all is uploaded, is raised as well. None of these moves the
    pointer.
    """
    client = s3.client(settings)
    bundle = check_bundle(folder)
    with turn(line, settings.home) as lease:
        before = get_pointer(client, settings.bucket, line)
        if follows is not None:
            check_successor(line, before and before.bundle, {*follows, bundle.digest})
        _upload(client, settings.bucket, bundle)
        last_look()
        renew(Database.of(settings.home), lease)  # an upload takes its time; what comes after it is fenced by the token
        manifest = f"{prefix(bundle.digest)}/{MANIFEST}"
        point(client, settings.bucket, line, bundle.digest, manifest, before, lease.token)
    return bundle.digest


def keep_bundle(folder: Path, settings: Settings) -> None:
    """Upload the bundle in `folder` under its digest; nothing points to it. Raises as `publish_bundle`."""
    _upload(s3.client(settings), settings.bucket, check_bundle(folder))


def fetch_bundle(line_or_digest: str, folder: Path, settings: Settings, keys: Collection[Path] = ()) -> Bundle:
    """Download the approved bundle of a line, or one by its digest, into `folder`.

    Every file's sha256 is checked, and where public `keys` are given that one of them vouches for it.

    The folder appears whole or not at all; one that is there and right is left alone.
    Raises IntegrityError when anything is missing or differs, ServiceUnreachable when S3 cannot be used, UsageError for
    what is neither line nor digest and for a folder that cannot be made.
    """
    client = s3.client(settings)
    digest = _resolve(client, settings.bucket, line_or_digest)
    if fresh := not os.path.lexists(folder):
        _download(client, settings.bucket, digest, folder, keys, line_or_digest)
    elif not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} is there and no bundle: name a folder that is not there yet")
    bundle = check_bundle(folder)
    if bundle.digest != digest:
        raise IntegrityError(f"{folder} holds bundle {bundle.digest}, not {digest}: remove the folder and fetch again")
    if keys and not fresh:
        if not (folder / VOUCHER).exists():
            _add_voucher(client, settings.bucket, digest, folder)
        _check_vouched(folder, digest, keys, line_or_digest)
    return bundle


def bundle_uri(digest: str, settings: Settings) -> str:
    """Return where a bundle lies, or would."""
    return f"s3://{settings.bucket}/{prefix(digest)}"


def is_published(digest: str, settings: Settings) -> bool:
    """Return whether the store holds the whole bundle; IntegrityError as `published_files`."""
    return bool(published_files(digest, settings))


def published_files(digest: str, settings: Settings) -> dict[str, str]:
    """Return the sha256 of each file of a bundle, none unless the store holds all of them.

    Raises IntegrityError if an object of it has other bytes than the manifest, which is known by its own digest, says.
    """
    client, place = s3.client(settings), prefix(digest)
    if not s3.holds(client, settings.bucket, f"{place}/{MANIFEST}", digest):
        return {}
    files = parse(s3.read(client, settings.bucket, f"{place}/{MANIFEST}"), f"bundle {digest}")
    whole = all(s3.holds(client, settings.bucket, f"{place}/{path}", sha256) for path, sha256 in files.items())
    return files if whole else {}


def _upload(client: Any, bucket: str, bundle: Bundle) -> None:
    """Payload first, manifest last: a manifest in the store means that the bundle there is whole."""
    for path, sha256 in [*sorted(bundle.files.items()), (MANIFEST, bundle.digest)]:
        s3.put_once(client, bucket, f"{prefix(bundle.digest)}/{path}", bundle.folder / path, sha256)


def _resolve(client: Any, bucket: str, line_or_digest: str) -> str:
    if DIGEST.fullmatch(line_or_digest):
        return line_or_digest
    if not LINE.fullmatch(line_or_digest):
        raise UsageError(
            f"{line_or_digest!r} is neither a line, as `expunge status` names it, nor the 64 hex digits of a bundle"
        )
    pointer = get_pointer(client, bucket, line_or_digest)
    if pointer is None or pointer.bundle is None:
        raise IntegrityError(f"line {line_or_digest} has no approved bundle: publish one first")
    return pointer.bundle


def _download(client: Any, bucket: str, digest: str, folder: Path, keys: Collection[Path], named: str) -> None:
    content = s3.read(client, bucket, f"{prefix(digest)}/{MANIFEST}")
    if hashlib.sha256(content).hexdigest() != digest:
        raise IntegrityError(f"the manifest of bundle {digest} in s3://{bucket} was changed: publish it again")
    with _new(folder) as part:
        _add_voucher(client, bucket, digest, part)
        if keys:
            _check_vouched(part, digest, keys, named)
        for path, sha256 in parse(content, f"bundle {digest}").items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            if s3.download(client, bucket, f"{prefix(digest)}/{path}", part / path) != sha256:
                raise IntegrityError(f"{path} of bundle {digest} in s3://{bucket} was changed: publish it again")
        (part / MANIFEST).write_bytes(content)


def _add_voucher(client: Any, bucket: str, digest: str, folder: Path) -> None:
    if s3.is_there(client, bucket, key := f"{prefix(digest)}/{VOUCHER}"):
        (folder / VOUCHER).write_bytes(s3.read(client, bucket, key))


def _check_vouched(folder: Path, digest: str, keys: Collection[Path], named: str) -> None:
    """Refuse a signed bundle of another line: whoever can write to the bucket can point this line at it."""
    line = receipt_of(folder, digest, [public_key(path) for path in keys]).line
    if named not in (line, digest):
        raise IntegrityError(f"{named} names bundle {digest}, which was published on {line}: see `expunge status`")


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside it, which takes its name at the end, or is gone if there was an error."""
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
