"""Which receipt is the next of a line: database and slot decide it, and the signed receipt says it.

The row of a line is a promise that a signed receipt keeps. A row without a valid signature is not believed, and is
written anew from the receipts. A row with one that the record lacks is a receipt: it is put on record, or, if more than
that is missing, nothing goes on.

A database can be lost, and two workers that know of different ones can both move a head. So each number of a line has
a slot in S3 that can be written once. The receipt in the slot is the one of that number, whatever a row says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from expunge.policies import Policy
from expunge.tasks.core.errors import LedgerError
from expunge.tasks.ledger.line.projection import rows_of
from expunge.tasks.ledger.policy_store import kept_policies, named_policies
from expunge.tasks.ledger.receipt import Receipt, named
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.trust import CURE, trusted_keys
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.heads import Head, Rows, adopt, head_of, move_head
from expunge.tasks.ledger.state.leases import LeaseLost, lease_name, mark_unfenced, turn


class SharedRecord(Protocol):
    """The place of the record that all machines share."""

    def keep_named(self, receipt: Receipt) -> None:
        """Store what a receipt names, before the receipt is on record."""
        ...

    def fetch_named(self, receipt: Receipt) -> None:
        """Fetch the policy, floor, notice and time stamp of a receipt where the home lacks them."""
        ...

    def fetch_work(self, receipt: Receipt) -> None:
        """Fetch what a step left in the folder of its work where the home lacks it."""
        ...

    def fetch_bundle(self, receipt: Receipt) -> None:
        """Fetch the bundle that a step made where the home lacks it."""
        ...

    def claim(self, receipt: Receipt, envelope: bytes) -> None:
        """Write a receipt into the slot of its number. Raises LeaseLost where another receipt has it."""
        ...

    def slot(self, line: str, sequence: int) -> bytes | None:
        """Return the signed receipt in a slot, None as long as it is free."""
        ...


_SHARED: ContextVar[Mapping[Path, SharedRecord]] = ContextVar("records shared", default=MappingProxyType({}))


@contextmanager
def sharing(home: Path, record: SharedRecord) -> Iterator[None]:
    """Append to this record, too, whatever is appended to that of the home inside."""
    token = _SHARED.set({**_SHARED.get(), home.resolve(): record})
    try:
        yield
    finally:
        _SHARED.reset(token)


def shared_record(home: Path) -> SharedRecord | None:
    """Return the record that is appended to here, too; None where the home is the only place."""
    return _SHARED.get().get(home.resolve())


class LineHead:
    """The head of one line, which its ledger moves with each receipt.

    Without a `record`, and outside of `sharing`, the home is the only place.
    """

    def __init__(self, home: Path, line: str, record: SharedRecord | None = None) -> None:
        self._home, self._line = home, line
        self._record = record or shared_record(home)
        self._shared_end = ""  # the digest of the last receipt that is known to be in its slot
        self._policies: dict[str, Policy] = {}  # by digest those that were read, for a policy on record never changes

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Hold the line's lease, and yield its fencing token."""
        with turn(self._line, self._home) as lease:
            yield lease.token

    def move(self, chain: Sequence[Receipt], envelope: bytes) -> None:
        """Make the last of these receipts the line's head, if the one before it is, and write it into its slot.

        What it names is stored first, so that whoever finds the receipt finds that, too. Raises LeaseLost, HeadMoved.
        """
        before = Head(chain[-2].sequence, chain[-2].digest, b"") if len(chain) > 1 else None
        self._refuse_late(chain)
        if self._record:
            self._share(self._record, chain[:-1])
            self._record.keep_named(chain[-1])
        with turn(self._line, self._home) as lease:
            move_head(Database.of(self._home), lease, self._rows(chain, envelope), before)
        if self._record:
            self._record.claim(chain[-1], envelope)
            self._shared_end = chain[-1].digest

    def following(self, chain: Sequence[Receipt]) -> tuple[Receipt, bytes] | None:
        """Return the receipt after these that the database has and that is not stored here, with its envelope.

        It is written into its slot, which is free. Raises LedgerError where a signed receipt says that this chain lacks
        more, or is another.
        """
        head = head_of(Database.of(self._home), self._line)
        receipt = self._believed(head)
        if head is None or receipt is None:
            return None
        end = chain[-1].digest if chain else ""
        if (receipt.sequence, receipt.previous) == (len(chain) + 1, end):
            if self._record:
                self._record.claim(receipt, head.envelope)
            return receipt, head.envelope
        if self._lacks(chain, receipt):
            raise LedgerError(
                f"the database has {named(receipt)} of {self._line}, signed, and {self._home} does not: receipts were "
                "removed, or this is an older copy; restore them from S3 or a backup"
            )
        return None

    def in_its_slot(self, chain: Sequence[Receipt]) -> tuple[Receipt, bytes] | None:
        """Return the receipt in the slot after these, with its envelope. LedgerError if it does not follow them."""
        number, end = len(chain) + 1, chain[-1].digest if chain else ""
        signed = self._record.slot(self._line, number) if self._record else None
        if self._record is None or signed is None:
            return None
        try:
            receipt = signing.opened(signed, trusted_keys(self._home))
        except ValueError as error:
            raise LedgerError(f"number {number} of {self._line} in S3 {error}: {CURE}") from None
        if (receipt.line, receipt.sequence, receipt.previous) != (self._line, number, end):
            raise LedgerError(
                f"number {number} of {self._line} in S3 does not follow the receipts in {self._home}: two records have "
                "one number; see `expunge audit --stored`"
            )
        self._record.fetch_named(receipt)
        self._shared_end = receipt.digest
        return receipt, signed

    def settle(self, chain: Sequence[Receipt]) -> None:
        """Let the database say what these receipts say, which hold.

        Of a line that it did not know an earlier worker may still be at work.
        """
        database, last = Database.of(self._home), chain[-1]
        envelope = signing.envelope(self._home, last) or b""
        head = head_of(database, self._line)
        if head == Head(last.sequence, last.digest, envelope):
            return
        with turn(self._line, self._home) as lease:
            adopt(database, lease, self._rows(chain, envelope))
            if head is None:
                mark_unfenced(database, lease)

    def _share(self, record: SharedRecord, chain: Sequence[Receipt]) -> None:
        """Write the receipts into their slots that were appended where no other place was known.

        A receipt in a slot after an empty one would be found by nobody, and one that follows another receipt than that
        in the slot before it would fork the record. LedgerError where a slot has another receipt.
        """
        missing = list[tuple[Receipt, bytes]]()
        for receipt in reversed(chain):
            own = signing.envelope(self._home, receipt)
            if receipt.digest == self._shared_end or own is None:  # what earlier versions left is not signed
                break
            if found := record.slot(self._line, receipt.sequence):
                self._refuse_another(receipt, found)
                break
            missing.append((receipt, own))
        for receipt, own in reversed(missing):
            record.keep_named(receipt)
            record.claim(receipt, own)

    def _refuse_another(self, receipt: Receipt, signed: bytes) -> None:
        """Raise LedgerError where the signed receipt in a slot is not this one."""
        with suppress(ValueError):
            if signing.opened(signed, trusted_keys(self._home)).digest == receipt.digest:
                return
        raise LedgerError(
            f"{named(receipt)} of {self._line} in {self._home} is not number {receipt.sequence} in S3: it was put on "
            "record where S3 was not known, and another machine has used the number; see `expunge audit --stored`"
        )

    def _refuse_late(self, chain: Sequence[Receipt]) -> None:
        """Raise LeaseLost where the last receipt has an older lease than one before it.

        A database that was lost knows of no other worker; the receipts do.
        """
        last = chain[-1].fencing_token
        if last and any((receipt.fencing_token or 0) > last for receipt in chain[:-1]):
            raise LeaseLost(lease_name(self._line), named(chain[-1]))

    def _rows(self, chain: Sequence[Receipt], envelope: bytes) -> Rows:
        """Return the database's rows of the line; a policy that these receipts name is read once."""
        found, lost = kept_policies(self._home, named_policies(chain) - self._policies.keys())
        self._policies |= found
        return rows_of(chain, envelope, self._policies, lost)

    def _lacks(self, chain: Sequence[Receipt], receipt: Receipt) -> bool:
        """Return whether a receipt of the database is missing in the chain, and did not lose its slot to another."""
        if receipt.sequence > len(chain):
            return True
        own = chain[receipt.sequence - 1]
        if own.digest == receipt.digest:
            return False
        signed = self._record.slot(self._line, receipt.sequence) if self._record else None
        return signed is None or signed != signing.envelope(self._home, own)

    def _believed(self, head: Head | None) -> Receipt | None:
        """Return the receipt in a row, if a trusted key signed it and it is of this line."""
        if head is None:
            return None
        try:
            receipt = signing.opened(head.envelope, trusted_keys(self._home))
        except ValueError:
            return None
        return receipt if receipt.line == self._line else None
