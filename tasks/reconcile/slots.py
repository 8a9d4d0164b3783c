"""The slots of a line in S3, one for each number, against the receipts of the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from expunge.canonical_json import sha256
from expunge.tasks.core.errors import IntegrityError
from expunge.tasks.ledger.receipt import Receipt, named
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.trust import trusted_keys
from expunge.tasks.reconcile.finding import S3, Done, Finding
from expunge.tasks.reconcile.look import Look
from expunge.tasks.storage import s3
from expunge.tasks.storage.record.place import HEADS


def reconcile_slots(line: str, chain: Sequence[Receipt], look: Look) -> list[Finding]:
    """Write signed receipts into the slots that lack them, unless a slot says that the record has forked.

    What they name was looked at before. What earlier versions left is not signed, and has no slot.
    """
    folder = f"{look.place}{HEADS}{line}/"
    there = s3.names_under(look.client, look.bucket, folder)
    signed = [(receipt, found) for receipt in chain if (found := signing.envelope(look.home, receipt)) is not None]
    bad = [*_beyond(there, chain, look.uri(folder)), *_others(signed, there, look)]
    if bad:
        return [Finding(S3, line, what, Done.LEFT) for what in bad]
    missing = [(receipt, envelope) for receipt, envelope in signed if _name(receipt) not in there]
    for receipt, envelope in () if look.dry else missing:
        look.record.claim(receipt, envelope)
    return [
        Finding(S3, line, f"{named(receipt)} was not in its slot {_name(receipt)}", look.repaired)
        for receipt, _ in missing
    ]


def _name(receipt: Receipt) -> str:
    return f"{receipt.sequence:06d}"


def _beyond(there: set[str], chain: Sequence[Receipt], folder: str) -> Iterator[str]:
    """Say which slots are taken and follow no receipt: one before them is gone."""
    for name in sorted(there - {_name(receipt) for receipt in chain}):
        yield (
            f"{folder}{name} is there, and the receipt before it is not: receipts were removed; restore an earlier "
            "version of the slots before it, or a backup"
        )


def _others(signed: Sequence[tuple[Receipt, bytes]], there: set[str], look: Look) -> Iterator[str]:
    """Say which slots have another receipt than the home; the same may be signed twice, with other bytes."""
    for receipt, envelope in signed:
        key = f"{look.place}{look.record.slot_name(receipt.line, receipt.sequence)}"
        if _name(receipt) not in there:
            continue
        try:
            s3.holds(look.client, look.bucket, key, sha256(envelope))
        except IntegrityError:
            if not _is_in(receipt, look):
                yield (
                    f"{look.uri(key)} is not {named(receipt)}, which the home has, signed: two records have one "
                    "number, or somebody wrote it over; see `expunge audit --stored`"
                )


def _is_in(receipt: Receipt, look: Look) -> bool:
    found = look.record.slot(receipt.line, receipt.sequence)
    with suppress(ValueError):
        return found is not None and signing.opened(found, trusted_keys(look.home)).digest == receipt.digest
    return False
