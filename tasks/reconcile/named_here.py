"""What the receipts of this record name, and what others in the same bucket may name."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from expunge.engine.files.bundle import MANIFEST, VOUCHER
from expunge.engine.files.reading.strict_json import SMALL, parse_json
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.receipt import Receipt
from expunge.tasks.reconcile.look import Look
from expunge.tasks.storage import s3
from expunge.tasks.storage.manifest import parse
from expunge.tasks.storage.record.named import of_record, of_work
from expunge.tasks.storage.record.place import HEADS, RECORDS

DIGEST = re.compile(rb"[0-9a-f]{64}")
RECEIPTS = (HEADS, "receipts/", "signatures/")
"""Where a record has its receipts; earlier versions copied them under the names that they have in the home."""


def keys_named(receipts: Iterable[Receipt], look: Look) -> set[str]:
    """Return the keys, after the record's place, of the receipts themselves and of all that they name."""
    found = set[str]()
    for receipt in receipts:
        found.add(look.record.slot_name(receipt.line, receipt.sequence))
        found |= {one.key for one in (*of_record(look.home, receipt), *of_work(look.home, receipt))}
    return found


def bundles_named(receipts: Iterable[Receipt]) -> set[str]:
    """Return the digests of the bundles that receipts name, whatever became of them."""
    return {receipt.digests["bundle"] for receipt in receipts if "bundle" in receipt.digests}


def files_of_bundle(digest: str, look: Look) -> set[str]:
    """Return the names of the files that a bundle has. IntegrityError where its manifest is missing or another."""
    content = s3.read(look.client, look.bucket, look.bundle_key(digest, MANIFEST))
    return {*parse(content, f"bundle {digest}"), MANIFEST, VOUCHER}


def digests_elsewhere(look: Look) -> set[str]:
    """Return each digest that a receipt of another record in the bucket states, whoever signed it.

    Records share the place of bundles. A receipt that nobody here can prove names enough to keep a bundle, and proves
    nothing else.

    Raises:
        IntegrityError: one cannot be read, so nobody can tell what it names.
    """
    found = set[str]()
    for number in s3.folders_under(look.client, look.bucket, RECORDS):
        place = f"{RECORDS}{number}/"
        for folder in RECEIPTS if place != look.place else ():
            for key in s3.written_under(look.client, look.bucket, f"{place}{folder}"):
                found |= _digests_in(key, look)
    return found


def _digests_in(key: str, look: Look) -> set[str]:
    content = s3.find(look.client, look.bucket, key)
    try:
        said = parse_json(content, SMALL) if content is not None else {}
        plain = base64.b64decode(said["payload"], validate=True) if "payload" in said else content or b""
    except (ValueError, TypeError, KeyError, AttributeError):
        raise IntegrityError(
            f"{look.uri(key)}, of another record, cannot be read, so nobody can tell what it names: restore an earlier "
            "version of it"
        ) from None
    return {digest.decode() for digest in DIGEST.findall(plain)}
