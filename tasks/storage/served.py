"""Compare what S3 serves on a line with what was published on it last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from securesystemslib.signer import SSlibKey

from expunge.engine.files.bundle import MANIFEST, VOUCHER
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.storage import s3
from expunge.tasks.storage.bundle_signature import voucher_in
from expunge.tasks.storage.manifest import parse, prefix
from expunge.tasks.storage.pointer import check_served


def served_otherwise(
    published: Receipt, settings: Settings, keys: Sequence[SSlibKey], every_byte: bool = True
) -> Iterator[str]:
    """Say how pointer, manifest, signed receipt or files in S3 are not those of a line's last publication.

    With `every_byte` all files are read. Without, a SHA-256 that S3 keeps beside an object is believed, and only what
    has none is read: S3 keeps none that it did not compute itself when the object was written, so nobody can set it by
    a request, but it does not see what somebody writes over the object on the server's disk.
    `keys`: who may have signed the receipt beside the bundle. Raises ServiceUnreachable.
    """
    client, bundle = s3.client(settings), published.outputs.get("bundle", "")
    try:
        check_served(published.line, bundle, settings)
    except IntegrityError as error:
        yield str(error)
    for problem in _of_bundle(client, settings.bucket, bundle, keys, every_byte):
        yield f"bundle {bundle}, which {published.line} serves: {problem}"


def _of_bundle(client: Any, bucket: str, bundle: str, keys: Sequence[SSlibKey], every_byte: bool) -> Iterator[str]:
    place = prefix(bundle)
    try:
        content = s3.read(client, bucket, f"{place}/{MANIFEST}")
        if (found := hashlib.sha256(content).hexdigest()) != bundle:
            raise IntegrityError(f"its {MANIFEST} has the sha256 {found}: publish it again from its bundle folder")
        files = parse(content, MANIFEST)
        voucher_in(client, bucket, bundle, keys)
    except IntegrityError as error:
        yield str(error)
        return
    for path, sha256 in files.items():
        try:
            if (found := s3.stored_sha256(client, bucket, f"{place}/{path}", every_byte)) != sha256:
                yield f"{path} has the sha256 {found}, by the manifest it is {sha256}: publish it again"
        except IntegrityError as error:
            yield str(error)
    for stray in sorted(s3.names_under(client, bucket, f"{place}/") - {*files, MANIFEST, VOUCHER}):
        yield f"{stray!r} lies beside its files and is in no manifest: remove it from S3"
