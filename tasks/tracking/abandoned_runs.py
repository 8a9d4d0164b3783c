"""Runs that a kill left "Running" in Prefect: whoever holds the line next knows that they are dead, and says so there.

A takedown or check runs only while its process holds its line, and the system frees a line when its holder dies. So a
run with the line's mark, seen by somebody else who holds the line, has nobody left who works at it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any
from uuid import UUID

from expunge.tasks.ledger.state.database import Database
from expunge.tasks.ledger.state.holders import is_dead, new_holder
from expunge.tasks.ledger.state.record_number import known_number

PROCESS = "expunge-process:"
PAGE = 200
MESSAGE = "The process of this run was killed; the next run of the same work found it so and goes on with it."


def mark_of(line: str, home: Path) -> str:
    """Return the tag of all runs that hold this line of this record: by its base, as the lock is.

    All machines that share the record give it the same tag. Without a number it is one of this home alone.
    """
    number = known_number(Database.of(home)) or hashlib.sha256(str(home.resolve()).encode()).hexdigest()
    return f"expunge:{line.rpartition('-')[2]}:{number[:16]}"


def mark_run(line: str, home: Path, *tags: str) -> None:
    """Give the flow run that calls this the line's tag, and further ones.

    Call it, as `close_abandoned`, while the line is held.
    """
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run

    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(flow_run.id), tags=sorted({*flow_run.tags, mark_of(line, home), *tags}))


def mark_process() -> None:
    """Give the flow run that calls this the tag of its process: this machine can tell later that it is dead."""
    from prefect.client.orchestration import get_client
    from prefect.runtime import flow_run

    with get_client(sync_client=True) as client:
        tags = [tag for tag in flow_run.tags if not tag.startswith(PROCESS)]  # of an earlier try of the same run
        client.update_flow_run(UUID(flow_run.id), tags=sorted({*tags, PROCESS + new_holder()}))


def close_abandoned(line: str, home: Path) -> int:
    """Set the line's runs that Prefect takes for running to Crashed, with the reason; returns how many there were.

    That Prefect cannot be told keeps nobody from the work: the next run tells it.
    """
    import httpx
    from prefect.exceptions import PrefectException

    try:
        return close_runs(abandoned_on(line, home))
    except (httpx.HTTPError, PrefectException) as error:
        logging.getLogger(__name__).warning("what was killed is not closed in Prefect yet: %s", error)
        return 0


def abandoned_on(line: str, home: Path) -> set[UUID]:
    """Return the runs of a line that Prefect takes for running. While the line is held, nobody works at them.

    Raises what Prefect's client raises.
    """
    return {run.id for run in _running({"tags": {"all_": [mark_of(line, home)]}})}


def abandoned_here(flows: Collection[str]) -> set[UUID]:
    """Return the runs of flows of these names whose process was one of this machine and has ended. Raises as above."""
    return {run.id for run in _running({}, flows) if any(_is_of_dead_process(tag) for tag in run.tags)}


def close_runs(runs: Collection[UUID]) -> int:
    """Set these runs to Crashed, with the reason; return how many there were. Raises as above."""
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    with get_client(sync_client=True) as client:
        for run in runs:
            client.set_flow_run_state(run, Crashed(message=MESSAGE), force=True)
    return len(runs)


def _running(wanted: dict[str, Any], flows: Collection[str] = ()) -> list[Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowRunFilter

    runs = FlowRunFilter.model_validate({**wanted, "state": {"type": {"any_": ["RUNNING", "PENDING"]}}})
    named = FlowFilter.model_validate({"name": {"any_": list(flows)}}) if flows else None
    found = list[Any]()
    with get_client(sync_client=True) as client:
        while page := client.read_flow_runs(flow_filter=named, flow_run_filter=runs, limit=PAGE, offset=len(found)):
            found += page
    return found


def _is_of_dead_process(tag: str) -> bool:
    """Return whether a tag is that of a process of this machine that has ended; anybody can write a tag."""
    try:
        return tag.startswith(PROCESS) and is_dead(tag.removeprefix(PROCESS))
    except ValueError:
        return False
