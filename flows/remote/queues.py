"""The work pool and its queues: which run a worker takes first, and what kind of machine takes it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from expunge.tasks.core.errors import UsageError

POOL = "expunge"
URGENT, GPU, CHECKS, LIGHT = "urgent", "gpu", "checks", "light"
QUEUES = {
    URGENT: "Takedowns that go before all others.",
    GPU: "Takedowns, which draw pictures.",
    CHECKS: "Checks of what is published, which draw pictures and can wait.",
    LIGHT: "Work that draws nothing: publication after an approval, reconciliation.",
}
"""By name what waits there, the most urgent first."""
PoolType = Literal["process", "docker", "kubernetes"]
TEMPLATES = Path(__file__).parent / "pools"


@dataclass(frozen=True)
class Place:
    """The kind of pool in which runs take place and, with containers, the defaults of its template."""

    kind: PoolType = "process"
    image: str = ""
    namespace: str = ""
    secret: str = ""
    volume: str = ""

    def template(self) -> dict[str, Any]:
        """Return the base job template. UsageError where containers lack an image."""
        if self.kind == "process":
            from prefect.workers.process import ProcessWorker

            return ProcessWorker.get_default_base_job_template()
        if not self.image:
            raise UsageError(f"--image is missing: a {self.kind} pool runs each flow in a container")
        template = yaml.safe_load((TEMPLATES / f"{self.kind}.yaml").read_text(encoding="utf-8"))
        for name, variable in template["variables"]["properties"].items():
            if value := getattr(self, name, ""):
                variable["default"] = value
        return template


def before(queue: str) -> list[str]:
    """Return the queues whose runs go before those of this one and take the same machines."""
    names = list(QUEUES)
    return names[: names.index(queue)] if queue in names and queue != LIGHT else []


def enter_pool(client: SyncPrefectClient, place: Place) -> None:
    """Make the pool, or bring its template up to date; what an operator set (paused, a limit) stays.

    Raises UsageError where there is a pool of that name and another kind.
    """
    template = place.template()
    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        with suppress(ObjectAlreadyExists):  # somebody else made it since
            client.create_work_pool(WorkPoolCreate(name=POOL, type=place.kind, base_job_template=template))
        pool = client.read_work_pool(POOL)
    if pool.type != place.kind:
        raise UsageError(
            f"the work pool {POOL!r} is of type {pool.type}: say --pool {pool.type}, or delete the pool in Prefect"
        )
    if pool.base_job_template != template:
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))


def enter_queues(client: SyncPrefectClient) -> None:
    """Make the queues, each with its priority, or bring them up to date."""
    known = {queue.name: queue for queue in client.read_work_queues(work_pool_name=POOL)}
    for priority, (name, description) in enumerate(QUEUES.items(), 1):
        if name not in known:
            with suppress(ObjectAlreadyExists):
                client.create_work_queue(name, description=description, priority=priority, work_pool_name=POOL)
        elif (known[name].priority, known[name].description) != (priority, description):
            client.update_work_queue(known[name].id, priority=priority, description=description)
