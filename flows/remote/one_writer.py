"""One writer a line, as Prefect's page shows it: a run waits for the slot of its line before it begins.

What keeps two writers apart is the lease of the line in the database. The slot only makes Prefect's page say who works
and who waits. It is taken before the lease and never after it, so no two runs wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency

from expunge.tasks.core.settings import Settings
from expunge.tasks.tracking.abandoned_runs import mark_of

SLOT_SECONDS = 120.0
"""So long the slot of a killed run stays taken."""


@contextmanager
def one_writer(line: str, settings: Settings) -> Iterator[None]:
    """Hold the one slot of a line on Prefect's page of concurrency limits; wait for it as long as it takes."""
    name = mark_of(line, settings.home)
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    with concurrency(name, lease_duration=SLOT_SECONDS, raise_on_lease_renewal_failure=False):
        yield
