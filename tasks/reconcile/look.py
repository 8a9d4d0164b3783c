"""What one reconciliation looks at, and how it is alone on a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from expunge.tasks.core.settings import Settings
from expunge.tasks.ledger.receipt import LINE
from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.heads import head_of
from expunge.tasks.ledger.state.leases import LineBusy, is_held, lease_name, leased
from expunge.tasks.reconcile.finding import Done
from expunge.tasks.storage import s3
from expunge.tasks.storage.manifest import prefix
from expunge.tasks.storage.record.place import HEADS
from expunge.tasks.storage.record.shared import RecordInS3

BUNDLES = "bundles/"


@dataclass(frozen=True)
class Look:
    """One reconciliation of a record. `dry`: nothing is changed. `silent`: the services that do not answer."""

    settings: Settings
    record: RecordInS3
    dry: bool = False
    silent: frozenset[str] = frozenset()

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def bucket(self) -> str:
        return self.settings.bucket

    @property
    def place(self) -> str:
        return self.record.place

    @property
    def repaired(self) -> Done:
        """Return the outcome of a finding that can be repaired."""
        return Done.CAN_BE if self.dry else Done.REPAIRED

    @cached_property
    def client(self) -> Any:
        return s3.client(self.settings)

    @cached_property
    def database(self) -> Database:
        return Database.of(self.home)

    @cached_property
    def bundles(self) -> dict[str, set[str]]:
        """Return the names of the files under each bundle's digest, as they were at the first look."""
        found = dict[str, set[str]]()
        for key in s3.written_under(self.client, self.bucket, BUNDLES):
            digest, _, name = key.removeprefix(BUNDLES).partition("/")
            found.setdefault(digest, set()).add(name)
        return found

    def lines_under(self, place: str) -> set[str]:
        """Return the lines of which a record has a slot. An empty folder, which some servers keep, is no line."""
        slots = s3.names_under(self.client, self.bucket, f"{place}{HEADS}")
        return {line for line in (slot.partition("/")[0] for slot in slots) if LINE.fullmatch(line)}

    def uri(self, key: str) -> str:
        """Return how a message names an object."""
        return f"s3://{self.bucket}/{key}"

    def bundle_key(self, digest: str, name: str) -> str:
        return f"{prefix(digest)}/{name}"

    @contextmanager
    def alone(self, line: str) -> Iterator[None]:
        """Hold a line. A dry look holds nothing, and finds out in the end whether it was alone. LineBusy if not."""
        if not self.dry:
            with leased(self.database, lease_name(line), wait=False):
                yield
            return
        before = self._state(line)
        yield
        if before != self._state(line):
            raise LineBusy(f"other work on {line} was done meanwhile")

    def _state(self, line: str) -> Any:
        if is_held(self.database, lease_name(line)):
            raise LineBusy(f"other work on {lease_name(line)} is under way")
        return head_of(self.database, line)
