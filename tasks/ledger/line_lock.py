"""One takedown or check at a time on a model line: each follows from what is in force, so it must see others end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from expunge.tasks.ledger.recorder import journal


@contextmanager
def alone_on(line: str, home: Path, wait: bool = True) -> Iterator[None]:
    """Hold the line; where another process does, say so and wait, or else Timeout. The system frees it when its holder
    dies, and a receipt that this one had signed and not stored yet is stored first.

    The lock is that of the base, which a line's name ends with: before there is a line two may name it differently.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / f".{line.rpartition('-')[2]}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise
        print(f"other work on {line} is under way: waiting for it to end", file=sys.stderr)
        lock.acquire()
    try:
        journal(home, line).finish()
        yield
    finally:
        lock.release()
