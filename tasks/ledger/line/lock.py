"""The lock of a line: one takedown or check at a time, for each follows from what the one before left in force."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge.tasks.ledger.recorder import journal
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.leases import Lease, lease_name, leased


@contextmanager
def alone_on(line: str, home: Path, wait: bool = True) -> Iterator[Lease]:
    """Hold the line's lease; where another worker has it, say so and wait, or else LineBusy.

    It is free again when its holder dies, and a receipt that this one had appended and not stored yet is stored first.
    Within `sharing` what other machines appended is fetched, too.
    """

    def say() -> None:
        print(f"other work on {line} is under way: waiting for it to end", file=sys.stderr)

    with leased(Database.of(home), lease_name(line), wait, say) as lease:
        journal(home, line).finish()
        yield lease
