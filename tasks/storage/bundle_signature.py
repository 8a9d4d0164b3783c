"""Who vouches for a bundle: the signed receipt of its publication, which lies beside its manifest.

The manifest vouches for the files, and for itself. That they passed, and who published them, the receipt says, to
whoever has the bundle and the public key and nothing else of the home. It comes after the manifest, so it is not in it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from expunge.engine.files.bundle import VOUCHER
from expunge.engine.files.canonical_json import sha256
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger import signing
from expunge.tasks.ledger.ledger import Receipt, Step
from expunge.tasks.storage import s3
from expunge.tasks.storage.manifest import prefix


def deliver(published: Receipt, settings: Settings) -> None:
    """Put the signed receipt of a publication beside its bundle in S3. The first one stays, whoever published the same
    again; of before there were signatures there is none. Raises ServiceUnreachable."""
    signed = signing.envelope(settings.home, published)
    client, key = s3.client(settings), f"{prefix(published.outputs['bundle'])}/{VOUCHER}"
    if signed is not None and not s3.is_there(client, settings.bucket, key):
        s3.put_once(client, settings.bucket, key, signed, sha256(signed))


def check_delivered(published: Receipt, folder: Path, settings: Settings) -> None:
    """IntegrityError unless what was fetched to `folder` is vouched for by a key of this home, if it signed this."""
    if signing.envelope(settings.home, published) is None:
        return
    try:
        receipt_of(folder, published.outputs["bundle"], sorted((settings.home / "keys").glob("*.pem")))
    except IntegrityError as error:
        raise IntegrityError(f"{error}; remove it from S3, and the next check puts there what is on record") from None


def receipt_of(folder: Path, digest: str, keys: Collection[Path]) -> Receipt:
    """The receipt in a bundle's folder by which one of these keys vouches for the bundle of this digest.

    IntegrityError if none does, UsageError if a file of `keys` is no public key.
    """
    trusted = [signing.public_key(path) for path in keys]
    try:
        receipt = signing.opened((folder / VOUCHER).read_bytes(), trusted)
    except FileNotFoundError:
        raise IntegrityError(
            f"bundle {digest} has no {VOUCHER}, so nobody vouches for it; to one of before version 0.8.0 the next "
            "night or submission adds it"
        ) from None
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{VOUCHER} of bundle {digest} {error}: ask who published it for the right key") from None
    if receipt.step != Step.PUBLISHED or receipt.outputs.get("bundle") != digest:
        raise IntegrityError(f"{VOUCHER} of bundle {digest} is signed, and of something else than its publication")
    return receipt
