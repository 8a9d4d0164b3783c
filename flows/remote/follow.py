"""Start a takedown on a worker and follow it to its end: the command may end, the run goes on."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from expunge.errors import ExpungeError
from expunge.flows.remote.deploy import TAKEDOWN
from expunge.flows.remote.queues import POOL, URGENT
from expunge.policies import Policy, parse
from expunge.policies.notices.redaction import hides_names
from expunge.tasks.core.connection import without_password
from expunge.tasks.core.errors import IntegrityError, NothingOnRecord, ServiceUnreachable, UsageError
from expunge.tasks.core.settings import Settings, actor
from expunge.tasks.ledger.signatures.trust import TRUSTED, trusted_keys
from expunge.tasks.preflight import ask_prefect, prefect_staying
from expunge.tasks.storage.exchange import find_result, hand_in
from expunge.tasks.storage.s3 import check_bucket, client

POLL_SECONDS = 2.0
POLLED = timedelta(seconds=60)
"""A queue that no worker asked for so long has none."""


class RunFailed(ExpungeError):
    """The run on the worker ended with an error, whose message and exit code this has."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Unfollowed(ExpungeError):
    """Nobody follows the run any more, and it goes on."""

    exit_code = 130


def submit_remote(path: Path, policy: Policy, settings: Settings, urgent: bool, patience: float) -> dict[str, Any]:
    """Have a worker carry out a policy file, and return what `submit` returns.

    Args:
        path: the file; its content goes to S3, and its digest to Prefect.
        policy: what it says.
        settings: where Prefect and S3 are.
        urgent: put the run before all others.
        patience: seconds to wait for a worker where none is there.

    Raises:
        ServiceUnreachable: no worker takes the run, or it was stopped; then it is cancelled.
        RunFailed: it ended with an error.
        Unfollowed: this was interrupted.
    """
    data = path.read_bytes()
    if parse(data, str(path)).digest != policy.digest:
        raise IntegrityError(f"{path.name} changed since it was read: submit it again")
    _reach(settings)
    with prefect_staying(settings.prefect_api_url), get_client(sync_client=True) as prefect:
        try:
            deployment = prefect.read_deployment_by_name(TAKEDOWN.full_name)
        except ObjectNotFound:
            raise UsageError(f"Prefect has no deployment {TAKEDOWN.full_name!r}: run `expunge deploy` once") from None
        run = prefect.create_flow_run_from_deployment(
            deployment.id,
            name=None if hides_names(policy) else policy.request_id,
            parameters={"policy": f"sha256:{hand_in(data, settings)}", "who": actor()},
            work_queue_name=URGENT if urgent else TAKEDOWN.queue,
        )
    return follow(str(run.id), settings, patience)


def follow(run_id: str, settings: Settings, patience: float) -> dict[str, Any]:
    """Say on stderr how far a run is until it ends, and return what it came to. Raises as `submit_remote`."""
    run = _number(run_id)
    _reach(settings)
    page = f"{without_password(settings.prefect_api_url).removesuffix('/api')}/runs/flow-run/{run}"
    _say(f"run {run}: {page}")
    _say_who_counts(settings)
    try:
        with prefect_staying(settings.prefect_api_url), get_client(sync_client=True) as prefect:
            ended = _until_the_end(prefect, run, patience)
    except KeyboardInterrupt:
        raise Unfollowed(
            f"the run goes on. `expunge follow {run}` follows it, {page} shows it, and its page can cancel it"
        ) from None
    return _result(ended, settings)


def _reach(settings: Settings) -> None:
    """Refuse before anything is started where servers are away."""
    ask_prefect(settings)
    check_bucket(client(settings), settings.bucket)


def _say_who_counts(settings: Settings) -> None:
    if not trusted_keys(settings.home):
        _say(f"the result will count where a worker of this home signs it; of others set {TRUSTED} to the public key")


def _number(run_id: str) -> UUID:
    try:
        return UUID(run_id)
    except ValueError:
        raise UsageError(f"{run_id!r} is no id of a run: give the one that Prefect's page shows") from None


def _until_the_end(prefect: SyncPrefectClient, number: UUID, patience: float) -> FlowRun:
    shown, lines, began = "", 0, time.monotonic()
    while True:
        try:
            run = prefect.read_flow_run(number)
        except ObjectNotFound:
            raise NothingOnRecord(f"Prefect has no run {number}: is it another server's?") from None
        assert run.state is not None, "a run has a state from its beginning"
        if run.state.name != shown:
            _say(f"{run.state.name}{': ' + run.state.message if run.state.message else ''}")
            shown = run.state.name
        lines += _say_news(prefect, number, lines)
        if run.state.is_final():
            return run
        if run.state.is_scheduled() and time.monotonic() > began + patience:
            _refuse_alone(prefect, run)
        time.sleep(POLL_SECONDS)


def _say_news(prefect: SyncPrefectClient, number: UUID, known: int) -> int:
    """Say what the run and those that it started logged since, and return how many lines that were."""
    parts = {"parent_flow_run_id": {"any_": [number]}}
    runs = [number, *(run.id for run in prefect.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(parts)))]
    wanted = LogFilter.model_validate({"flow_run_id": {"any_": runs}})
    news = prefect.read_logs(wanted, offset=known, sort=LogSort.TIMESTAMP_ASC)
    for line in news:
        if not line.message.startswith("Finished in state"):  # one for each step
            _say(f"  {line.message}")
    return len(news)


def _refuse_alone(prefect: SyncPrefectClient, run: FlowRun) -> None:
    """Cancel a run that waits in a queue which no worker asks, and raise ServiceUnreachable.

    A run that waits its turn stays.
    """
    queue = prefect.read_work_queue_by_name(run.work_queue_name or "default", work_pool_name=POOL)
    paused = queue.is_paused or prefect.read_work_pool(POOL).is_paused
    asked = queue.last_polled and datetime.now(UTC) - queue.last_polled < POLLED
    if asked and not paused:
        return
    prefect.set_flow_run_state(run.id, Cancelled(message="no worker took it, and nobody waits for it"))
    if (now := prefect.read_flow_run(run.id)).state and not now.state.is_cancelled():
        return  # a worker took it at this very moment
    why = f"the queue {queue.name!r} is paused" if paused else f"no worker asks the queue {queue.name!r}"
    raise ServiceUnreachable(
        f"no worker took the run, and it was cancelled: {why}. Start one with `prefect worker start --pool {POOL}`, or "
        "submit without --remote"
    )


def _result(run: FlowRun, settings: Settings) -> dict[str, Any]:
    found = find_result(f"{run.id}/{run.run_count}", settings)
    state = run.state
    if found is None:
        assert state is not None
        raise ServiceUnreachable(
            f"the run ended without a result: {state.name}, {state.message or 'no reason given'}. What was done is on "
            "record; submit again"
        )
    if found["error"]:
        raise RunFailed(found["error"], found["exit_code"])
    return found["outcome"]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
