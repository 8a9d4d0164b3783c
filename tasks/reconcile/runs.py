"""Prefect against the leases: a run that is shown as running, and that nobody works at, is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

from expunge.tasks.core.connection import describe_error
from expunge.tasks.core.errors import ServiceUnreachable
from expunge.tasks.reconcile.finding import PREFECT, Finding, failures
from expunge.tasks.reconcile.look import Look
from expunge.tasks.tracking.abandoned_runs import abandoned_here, abandoned_on, close_runs

SETTLED = 3.0
"""So many seconds after a run let go of its line Prefect knows of its end."""


def reconcile_runs(line: str, look: Look) -> list[Finding]:
    """Close the runs of a line, which is held here, so that nobody works at them."""
    return _closed(line, look, lambda: abandoned_on(line, look.home))


def reconcile_processes(flows: Collection[str], look: Look) -> list[Finding]:
    """Close the runs of these flows whose process was one of this machine and is dead."""
    return _closed("this machine", look, lambda: abandoned_here(flows))


def _closed(where: str, look: Look, ask: Callable[[], set[UUID]]) -> list[Finding]:
    """Close what is still there after a while: a run that ends lets go of its line just before it says so."""
    found = list[Finding]()
    with failures(found, PREFECT, where), _reaching(look):
        if runs := ask():
            time.sleep(SETTLED)
            runs &= ask()
        if not look.dry:
            close_runs(runs)
        what = "is shown as running, and its process was killed"
        found += [Finding(PREFECT, where, f"run {run} {what}", look.repaired) for run in sorted(map(str, runs))]
    return found


@contextmanager
def _reaching(look: Look) -> Iterator[None]:
    import httpx
    from prefect.exceptions import PrefectException

    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        url = look.settings.prefect_api_url
        raise ServiceUnreachable(f"Prefect does not serve ({describe_error(error, url)}): look again later") from None
