"""The work pool on a real Prefect: made once, whoever makes it at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import temporary_settings

from expunge.flows.remote.queues import POOL, QUEUES, Place, enter_pool, enter_queues
from expunge.tasks.core.settings import Settings
from tests.flows.conftest import prefect_at


def test_two_deployments_at_once_make_one_pool_with_its_queues(stack: Settings) -> None:
    before_both = Barrier(2)

    def enter(_: int) -> None:
        with temporary_settings(prefect_at(stack.variables())), get_client(sync_client=True) as client:
            before_both.wait(30)
            enter_pool(client, Place())
            enter_queues(client)

    own = temporary_settings(prefect_at(stack.variables()))
    with own, get_client(sync_client=True) as client, ThreadPoolExecutor(2) as both:
        for _ in range(5):
            with suppress(ObjectNotFound):
                client.delete_work_pool(POOL)
            assert len(list(both.map(enter, range(2)))) == 2
            assert QUEUES.keys() <= {queue.name for queue in client.read_work_queues(work_pool_name=POOL)}
