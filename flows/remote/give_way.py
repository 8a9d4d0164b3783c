"""A long run on a worker gives way: between two lines it ends and waits again, if a more urgent run waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter, WorkQueueFilter
from prefect.runtime import deployment, flow_run
from prefect.states import Completed

from expunge.flows.remote.queues import before


def must_give_way() -> bool:
    """Return whether a worker took this run, and one waits in the same pool whose queue goes before this one's."""
    if not deployment.id:
        return False
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(UUID(flow_run.id))
        if not (queues := before(own.work_queue_name or "")):
            return False
        now = datetime.now(UTC).isoformat()
        waiting = {"state": {"type": {"any_": ["SCHEDULED"]}}, "next_scheduled_start_time": {"before_": now}}
        return bool(
            client.read_flow_runs(
                flow_run_filter=FlowRunFilter.model_validate(waiting),
                work_queue_filter=WorkQueueFilter.model_validate({"name": {"any_": queues}}),
                work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [own.work_pool_name]}}),
                limit=1,
            )
        )


def wait_again() -> Any:
    """Have a new run do the rest, which waits in the queue of the deployment; return this one's last state."""
    with get_client(sync_client=True) as client:
        made = client.create_flow_run_from_deployment(UUID(deployment.id), parameters=flow_run.parameters)
    return Completed(message=f"gave way to a more urgent run: {made.name} goes on with the rest")
