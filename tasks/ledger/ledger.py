"""The ledger of a model line: its receipts in one folder, chained by digest, so that no change goes unnoticed.

Each receipt is the file `<sequence>-<sha256 of its bytes>.json` and names the digest of the one before. Reading the
folder finds a receipt that was altered, deleted, reordered, inserted or forked. A chain cannot show its own end:
whoever cuts off the last receipts, or writes all of them anew, leaves a sound chain. So receipts are signed, and no
reader takes one that no trusted key signed (`expunge.tasks.ledger.signatures.trust`). The digest of the last one is
also kept elsewhere, and the audit looks for it (`expunge.tasks.audit.record`, `noted`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from expunge.engine.files.atomic import PART, write_new
from expunge.tasks.core.errors import LedgerError
from expunge.tasks.ledger.receipt import LINE, Receipt, named, open_receipt

LOCK = ".lock"
WRITING_SECONDS = 5  # far more than writing a receipt takes

logger = logging.getLogger(__name__)


class Seal(Protocol):
    """Sign the receipts of a line, and say what is wrong with the signatures of those that were read."""

    def sign(self, receipt: Receipt) -> bytes:
        """Sign a receipt before it is stored; what this raises leaves the receipt unwritten."""
        ...

    def keep(self, receipt: Receipt, envelope: bytes) -> None:
        """Store an envelope, before its receipt is stored."""
        ...

    def problems(self, chain: Sequence[Receipt]) -> list[str]:
        """Say in words which of these receipts count for nothing, and why."""
        ...

    def orphans(self, chain: Sequence[Receipt]) -> list[str]:
        """Name, in words, the signatures of receipts that are not in the chain."""
        ...

    def following(self, chain: Sequence[Receipt]) -> Receipt | None:
        """Return the receipt that was signed as the next of the chain, if there is one."""
        ...


class Head(Protocol):
    """Decide which receipt is the next of a line, where several workers append."""

    def turn(self) -> AbstractContextManager[int]:
        """Be the line's only writer for a while; yields the fencing token, which grows with each writer."""
        ...

    def move(self, chain: Sequence[Receipt], envelope: bytes) -> None:
        """Append the last of these receipts, which is on record from then on; what this raises leaves it unwritten."""
        ...

    def following(self, chain: Sequence[Receipt]) -> tuple[Receipt, bytes] | None:
        """Return the receipt that was appended to this chain and is not stored yet, with its envelope."""
        ...

    def in_its_slot(self, chain: Sequence[Receipt]) -> tuple[Receipt, bytes] | None:
        """Return the receipt that follows these in the place that all machines share, with its envelope."""
        ...

    def settle(self, chain: Sequence[Receipt]) -> None:
        """Learn of a chain that holds."""
        ...


class Ledger:
    """The receipts of one model line under `folder`. Raises ValueError on a line name that is not LINE.

    With a `seal` each new receipt is signed before it is stored, and a chain holds only if its signatures do. With a
    `head` a receipt is on record once the head has moved to it; what is stored after that can be stored by anybody.
    Whoever holds the line reads the chain once and asks `chain` from then on: each receipt that is added proves it
    anew.
    """

    def __init__(self, folder: Path, line: str, seal: Seal | None = None, head: Head | None = None) -> None:
        if not LINE.fullmatch(line):
            raise ValueError(f"line {line!r}: use 1 to 63 lowercase letters, digits and dashes")
        self.line = line
        self.folder = folder / line
        self._seal, self._head = seal, head
        self._lock = FileLock(self.folder / LOCK)  # the system frees it when its holder dies
        self._chain: list[Receipt] | None = None

    @property
    def chain(self) -> Sequence[Receipt]:
        """The receipts as this ledger read them last, or added to them since; LedgerError as `receipts`."""
        return self.receipts() if self._chain is None else self._chain

    def append(
        self,
        step: str,
        *,
        request_id: str,
        who: str,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        settings: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        verdict: Mapping[str, Any] | None = None,
        unless: Callable[[Sequence[Receipt]], Receipt | None] = lambda chain: None,
    ) -> Receipt:
        """Write the next receipt, durably, upon a chain that is read and proven for it.

        If `unless` finds a receipt in this chain that already says all of it, that one is returned, and none written.
        Raises LedgerError on a broken chain, ValueError on a bad field, and LeaseLost where another writer took over
        since this one began: then nothing is written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._turn() as token:
            chain = self._proven()
            if known := unless(chain):
                return known
            receipt = Receipt(
                line=self.line,
                sequence=len(chain) + 1,
                step=str(step),
                request_id=request_id,
                at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                who=who,
                inputs=dict(inputs),
                outputs=dict(outputs),
                settings=dict(settings or {}),
                versions=dict(versions or {}),
                verdict=None if verdict is None else dict(verdict),
                previous=chain[-1].digest if chain else "",
                fencing_token=token,
            )
            envelope = self._seal.sign(receipt) if self._seal else b""
            if self._head is not None:
                self._head.move([*chain, receipt], envelope)
            self._store(receipt, envelope)
            self._chain = [*chain, receipt]
        return receipt

    def finish(self) -> None:
        """Store what was appended or signed and is not there.

        A kill came between, or somebody took the last receipts away. LedgerError where more is missing than can be put
        back.
        """
        if self._seal is None or not (self._head or self.folder.exists()):
            return
        with self._turn():
            self._repair(self._seal)

    def fetch(self) -> None:
        """Store the receipts that the place shared by all machines has and this folder lacks, without the lease.

        LedgerError where what lies there is no receipt that follows.
        """
        chain, problems = self._stored()
        while self._head and not problems and (found := self._head.in_its_slot(chain)):
            self._store(*found)
            chain.append(found[0])

    def _proven(self) -> list[Receipt]:
        """Return the chain upon which a receipt is added, with what was missing put back; LedgerError as `receipts`."""
        if self._seal is None:
            return self.receipts()
        chain, problems = self._repair(self._seal)
        if problems or self._seal.orphans(chain):
            return self.receipts()  # which says what is wrong, unless another process was just writing it
        self._chain = chain
        return chain

    def _repair(self, seal: Seal) -> tuple[list[Receipt], list[str]]:
        """Put back what is missing; return the receipts and what is wrong with chain and signatures, in words."""
        chain, problems = self._stored()
        while not problems and (found := self._missing(seal, chain)):
            self._store(*found)
            chain.append(found[0])
        problems = [*problems, *seal.problems(chain)]
        if self._head and chain and not problems:
            self._head.settle(chain)
        return chain, problems

    def _missing(self, seal: Seal, chain: Sequence[Receipt]) -> tuple[Receipt, bytes] | None:
        """Return the receipt after these that is not stored here; that this machine signed it is worth a warning."""
        if self._head and (found := self._head.in_its_slot(chain)):
            return found
        if signed := seal.following(chain):
            found = signed, b""
        else:
            found = self._head.following(chain) if self._head else None
        if found:
            logger.warning("%s was signed and missing, and is put back: see `expunge audit`", named(found[0]))
        return found

    def _turn(self) -> AbstractContextManager[int | None]:
        return self._head.turn() if self._head else self._alone()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            yield

    def receipts(self) -> list[Receipt]:
        """Return the chain in order. Raises LedgerError rather than return a chain that does not hold."""
        receipts, problems = self.read()
        if problems:
            raise LedgerError(f"the ledger of {self.line} does not hold: " + "; ".join(problems))
        self._chain = receipts
        return receipts

    def last(self, step: str, settings: Mapping[str, Any] | None = None) -> Receipt | None:
        """Return the latest receipt of this step in `chain`, with these settings if any are given, or None."""
        found = (one for one in reversed(self.chain) if one.step == step)
        return next((one for one in found if settings is None or one.settings == dict(settings)), None)

    def read(self) -> tuple[list[Receipt], list[str]]:
        """Return every receipt that can be read, in order, and what is wrong with chain and signatures, in words."""
        receipts, problems = self._stored()
        if self._seal is None:
            return receipts, problems
        if self.folder.exists() and self._seal.orphans(receipts):
            with suppress(OSError), self._lock.acquire(WRITING_SECONDS):  # unless another process is just writing it
                receipts, problems = self._stored()
        return receipts, [*problems, *self._seal.problems(receipts), *self._seal.orphans(receipts)]

    def _stored(self) -> tuple[list[Receipt], list[str]]:
        receipts, problems = [], []
        for path in sorted(self.folder.iterdir()) if self.folder.exists() else []:
            if path.name == LOCK or path.name.startswith(PART):
                continue
            try:
                receipts.append(open_receipt(path, self.line))
            except (LedgerError, OSError) as error:
                problems.append(f"{path.name}: {error}")
        return receipts, problems + list(_broken_links(receipts))

    def _store(self, receipt: Receipt, envelope: bytes) -> None:
        """Write envelope and receipt, whoever else writes the same.

        Who is stopped in between keeps nobody waiting for long.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            self._lock.acquire(WRITING_SECONDS)
        try:
            for abandoned in self.folder.glob(PART + "*") if self._lock.is_locked else ():
                abandoned.unlink()
            if self._seal and envelope:
                self._seal.keep(receipt, envelope)
            self._write(receipt)
        finally:
            self._lock.release()

    def _write(self, receipt: Receipt) -> None:
        path = self.folder / receipt.file_name
        try:
            write_new(path, receipt.content, mode=0o444)
        except FileExistsError:
            if path.read_bytes() != receipt.content:
                raise


def _broken_links(receipts: list[Receipt]) -> Iterator[str]:
    sequence, digest, token = 0, "", 0
    for receipt in receipts:
        if receipt.sequence == sequence:
            yield f"{receipt.file_name}: forked, number {sequence} exists twice"
        elif receipt.sequence != sequence + 1:
            yield f"{sequence + 1:06d} to {receipt.sequence - 1:06d}: deleted or unreadable"
        elif receipt.previous != digest:
            yield f"{receipt.file_name}: does not follow the receipt before it"
        elif (receipt.fencing_token or 0) < token:
            yield f"{receipt.file_name}: by a worker whose line another had taken over, by its fencing token"
        sequence, digest, token = receipt.sequence, receipt.digest, max(token, receipt.fencing_token or 0)
