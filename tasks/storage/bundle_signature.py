"""The signature of a bundle: the signed receipt of its publication, which lies beside its manifest.

The manifest vouches for the files, and for itself. That they passed, and who published them, the receipt says, to
whoever has the bundle and the public key and nothing else of the home. It comes after the manifest, so it is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from securesystemslib.signer import SSlibKey

from expunge.canonical_json import sha256
from expunge.engine.files.bundle import VOUCHER
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import Receipt, Step
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.trust import trusted_keys
from expunge.tasks.storage import s3
from expunge.tasks.storage.manifest import prefix


def deliver(published: Receipt, settings: Settings) -> None:
    """Put the signed receipt of a publication beside its bundle in S3.

    The first one stays, whoever published the same again; of before there were signatures there is none. Raises
    ServiceUnreachable.
    """
    signed = signing.envelope(settings.home, published)
    client, key = s3.client(settings), f"{prefix(published.outputs['bundle'])}/{VOUCHER}"
    if signed is not None and not s3.is_there(client, settings.bucket, key):
        s3.put_once(client, settings.bucket, key, signed, sha256(signed))


def check_delivered(published: Receipt, folder: Path, settings: Settings) -> None:
    """Refuse what was fetched to `folder` unless a key that this home trusts vouches for it, if it signed this.

    Raises:
        IntegrityError: no such key does.
    """
    if signing.envelope(settings.home, published) is None:
        return
    try:
        receipt_of(folder, published.outputs["bundle"], trusted_keys(settings.home))
    except IntegrityError as error:
        raise IntegrityError(f"{error}; remove it from S3, and the next check puts there what is on record") from None


def receipt_of(folder: Path, digest: str, keys: Sequence[SSlibKey]) -> Receipt:
    """Return the receipt in a bundle's folder by which one of these keys vouches for the bundle of this digest.

    Raises IntegrityError if none does.
    """
    try:
        return _vouching((folder / VOUCHER).read_bytes(), digest, keys)
    except FileNotFoundError:
        raise _unvouched(digest) from None
    except OSError as error:
        raise IntegrityError(f"{VOUCHER} of bundle {digest} cannot be read: {error}") from None


def voucher_in(client: Any, bucket: str, digest: str, keys: Sequence[SSlibKey]) -> Receipt:
    """Return the same of a bundle as it lies in S3."""
    if not s3.is_there(client, bucket, key := f"{prefix(digest)}/{VOUCHER}"):
        raise _unvouched(digest)
    return _vouching(s3.read(client, bucket, key), digest, keys)


def _unvouched(digest: str) -> IntegrityError:
    return IntegrityError(
        f"bundle {digest} has no {VOUCHER}, so nobody vouches for it; the next night or submission adds it"
    )


def _vouching(signed: bytes, digest: str, keys: Sequence[SSlibKey]) -> Receipt:
    try:
        receipt = signing.opened(signed, keys)
    except ValueError as error:
        raise IntegrityError(f"{VOUCHER} of bundle {digest} {error}: ask who published it for the right key") from None
    if receipt.step != Step.PUBLISHED or receipt.outputs.get("bundle") != digest:
        raise IntegrityError(f"{VOUCHER} of bundle {digest} is signed, and of something else than its publication")
    return receipt
