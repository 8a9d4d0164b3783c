"""The deployments: what Prefect can start on a worker, by a form, by a schedule, or for `expunge submit --remote`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema

from expunge.flows.reconcile import reconcile_all
from expunge.flows.remote.forms import publish_request, submit_policy
from expunge.flows.remote.queues import CHECKS, GPU, LIGHT, POOL, Place, enter_pool, enter_queues
from expunge.flows.reverify import reverify_due
from expunge.tasks.core.settings import Settings
from expunge.tasks.preflight import ask_prefect, prefect_staying

IN_TURN = ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
FORMER = ("takedown/by-hand",)
"""Deployments of earlier versions, whose place others have taken."""


@dataclass(frozen=True)
class Deployment:
    """One deployment: `nightly` is a cron line in UTC, "" for none; `alone` lets one run of it work at a time."""

    name: str
    flow: Flow[..., Any]
    queue: str
    description: str
    nightly: str = ""
    alone: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.flow.name}/{self.name}"


NO_GPU = {"gpus": "0", "cpu_limit": "2", "memory_request": "4Gi", "memory_limit": "8Gi"}
"""What a job on Kubernetes asks for that draws nothing."""
TAKEDOWN = Deployment(
    "takedown",
    submit_policy,
    GPU,
    "Takes a policy through the whole pipeline: erase, prove, record, publish. As safe as `expunge submit`. "
    "For one that goes before all others choose the work queue `urgent`.",
)
DEPLOYMENTS = (
    TAKEDOWN,
    Deployment("publish", publish_request, LIGHT, "Publishes what a person approved.", variables=NO_GPU),
    Deployment(
        "all",
        reconcile_all,
        LIGHT,
        "Holds database, S3, MLflow and Prefect against the receipts, repairs what is safe, and says the rest. "
        "It may run at any time.",
        variables=NO_GPU,
    ),
    Deployment(
        "daily",
        reverify_due,
        CHECKS,
        "Questions again what its policies want checked within two days, and looks at bases that were restored. "
        "By hand it can check one line, or all.",
        nightly="0 3 * * *",
        alone=True,
    ),
)


def deploy(settings: Settings, place: Place) -> dict[str, Any]:
    """Make the pool, its queues and the deployments, or bring them up to date; say which there are.

    It may run at any time and as often as you like. What an operator set in Prefect stays: a pool or a schedule that is
    paused, a limit of a pool.

    Raises:
        ServiceUnreachable: Prefect does not let us in, or goes away.
        UsageError: the pool is of another kind, or an image is missing.
    """
    ask_prefect(settings)
    with prefect_staying(settings.prefect_api_url), get_client(sync_client=True) as client:
        enter_pool(client, place)
        enter_queues(client)
        for one in DEPLOYMENTS:
            _enter(client, one, place)
        for name in FORMER:
            with suppress(ObjectNotFound):
                client.delete_deployment(client.read_deployment_by_name(name).id)
    rows = [{"deployment": one.full_name, "queue": one.queue, "schedule": one.nightly or None} for one in DEPLOYMENTS]
    return {"pool": POOL, "type": place.kind, "deployments": rows}


def _enter(client: SyncPrefectClient, one: Deployment, place: Place) -> None:
    client.create_deployment(
        flow_id=client.create_flow_from_name(one.flow.name),
        name=one.name,
        version=version("expunge"),
        description=one.description,
        entrypoint=f"{one.flow.fn.__module__}.{one.flow.fn.__name__}",
        parameter_openapi_schema=parameter_schema(one.flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        work_pool_name=POOL,
        work_queue_name=one.queue,
        pull_steps=[],
        tags=["expunge"],
        schedules=_schedules(client, one),
        concurrency_limit=1 if one.alone else None,
        concurrency_options=IN_TURN if one.alone else None,
        job_variables=dict(one.variables) if place.kind == "kubernetes" else None,
    )


def _schedules(client: SyncPrefectClient, one: Deployment) -> list[DeploymentScheduleCreate]:
    """Return the schedule, paused where an operator has paused it."""
    if not one.nightly:
        return []
    active = True
    with suppress(ObjectNotFound):
        active = all(schedule.active for schedule in client.read_deployment_by_name(one.full_name).schedules)
    cron = CronSchedule(cron=one.nightly, timezone="UTC")
    return [DeploymentScheduleCreate(schedule=cron, active=active, slug="every-night")]
