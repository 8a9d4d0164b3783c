"""The head of a line: the database decides under the lease which receipt is the next, and the signed receipt says it.

The row of a line is a promise that a signed receipt keeps. A row without a valid signature is not believed, and is
written anew from the receipts. A row with one that the record lacks is a receipt: it is put on record, or, if more than
that is missing, nothing goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from expunge.policies import Policy
from expunge.tasks.core.errors import LedgerError
from expunge.tasks.ledger.line.projection import rows_of
from expunge.tasks.ledger.policy_store import kept_policies, named_policies
from expunge.tasks.ledger.receipt import Receipt, named
from expunge.tasks.ledger.signatures import signing
from expunge.tasks.ledger.signatures.trust import trusted_keys
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.heads import Head, Rows, adopt, head_of, move_head
from expunge.tasks.ledger.state.leases import mark_unfenced, turn


class LineHead:
    """The head of one line, which its ledger moves with each receipt."""

    def __init__(self, home: Path, line: str) -> None:
        self._home, self._line = home, line
        self._policies: dict[str, Policy] = {}  # by digest those that were read, for a policy on record never changes

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Hold the line's lease, and yield its fencing token."""
        with turn(self._line, self._home) as lease:
            yield lease.token

    def move(self, chain: Sequence[Receipt], envelope: bytes) -> None:
        """Make the last of these receipts the line's head, if the one before it is. Raises LeaseLost, HeadMoved."""
        before = Head(chain[-2].sequence, chain[-2].digest, b"") if len(chain) > 1 else None
        with turn(self._line, self._home) as lease:
            move_head(Database.of(self._home), lease, self._rows(chain, envelope), before)

    def following(self, chain: Sequence[Receipt]) -> tuple[Receipt, bytes] | None:
        """Return the receipt after these that was appended and never stored, with its envelope.

        Raises LedgerError where a signed receipt says that this chain lacks more, or is another.
        """
        head = head_of(Database.of(self._home), self._line)
        receipt = self._believed(head)
        if head is None or receipt is None:
            return None
        end = chain[-1].digest if chain else ""
        if (receipt.sequence, receipt.previous) == (len(chain) + 1, end):
            return receipt, head.envelope
        if receipt.sequence > len(chain) or chain[receipt.sequence - 1].digest != receipt.digest:
            raise LedgerError(
                f"the database has {named(receipt)} of {self._line}, signed, and {self._home} does not: receipts were "
                "removed, or this is an older copy; restore them from S3 or a backup"
            )
        return None

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

    def _rows(self, chain: Sequence[Receipt], envelope: bytes) -> Rows:
        """Return the database's rows of the line; a policy that these receipts name is read once."""
        found, lost = kept_policies(self._home, named_policies(chain) - self._policies.keys())
        self._policies |= found
        return rows_of(chain, envelope, self._policies, lost)

    def _believed(self, head: Head | None) -> Receipt | None:
        """Return the receipt in a row, if a trusted key signed it and it is of this line."""
        if head is None:
            return None
        try:
            receipt = signing.opened(head.envelope, trusted_keys(self._home))
        except ValueError:
            return None
        return receipt if receipt.line == self._line else None
