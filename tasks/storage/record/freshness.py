"""Keep a home up to date for a server that shows the record again and again."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from expunge.tasks.storage.record.fetching import bring_up_to_date

SECONDS = 3.0
"""For so long a look at the record in S3 holds, and ten times as long where there was no answer."""


class Freshness:
    """The last look at the record in S3, for a home."""

    def __init__(self, home: Path) -> None:
        self._home, self._lock = home, threading.Lock()
        self._old, self._until = "", 0.0

    def look(self) -> str:
        """Fetch what the home lacks, if that was not done just now; say why what is shown may be old, else ""."""
        if time.monotonic() < self._until or not self._lock.acquire(blocking=not self._until):
            return self._old  # another page is looking
        try:
            self._old = bring_up_to_date(self._home)
            self._until = time.monotonic() + SECONDS * (10 if self._old else 1)
        finally:
            self._lock.release()
        return self._old
