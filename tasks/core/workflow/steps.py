"""A step of a flow as Prefect runs it, and how a flow ends that was refused."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

from expunge.errors import ExpungeError
from expunge.tasks.core.errors import ServiceUnreachable
from expunge.tasks.core.workflow.run_progress import advance

P = ParamSpec("P")
R = TypeVar("R")
RETRY_SECONDS = (2, 10)
"""How long to wait before a step is tried again that a service failed."""
LONGEST_CALL = 6 * 60 * 60
"""Seconds after which a step that moves files to or from a service is given up."""


def is_service_error(_task: Any, _run: Any, state: Any) -> bool:
    """Tell whether a step failed because a service did not answer, which may be over soon; nothing else is retried."""
    return isinstance(state.data, ServiceUnreachable)


def step(name: str, seconds: float | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task called `name`, which is tried again where a service does not answer.

    Each step finds what it made before, so trying again costs only what was not finished. `seconds` bound one try. Its
    end moves the run's bar on.
    """

    def made(work: Callable[P, R]) -> Task[P, R]:
        @wraps(work)
        def done(*args: P.args, **kwargs: P.kwargs) -> R:
            result = work(*args, **kwargs)
            advance()
            return result

        return Task(
            done,
            name=name,
            cache_policy=NO_CACHE,
            retries=len(RETRY_SECONDS),
            retry_delay_seconds=list(RETRY_SECONDS),
            retry_condition_fn=is_service_error,
            timeout_seconds=seconds,
        )

    return made


def refusals_end_plainly(work: Callable[P, R]) -> Callable[P, R]:
    """Let a flow's function end as Failed with the message of an expected error, and no traceback.

    Whoever calls the flow gets the error itself. What nobody expected keeps its traceback.
    """

    @wraps(work)
    def ended(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return work(*args, **kwargs)
        except ExpungeError as error:
            return Failed(message=str(error), data=error)

    ended.__signature__ = inspect.signature(work, eval_str=True)  # type: ignore[attr-defined]  # Prefect checks by it
    return ended


class PlainErrors(logging.Filter):
    """Take the traceback from what Prefect logs of an expected error, and drop what repeats the state's message."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is shown; a shown one is changed in place."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if not isinstance(error, ExpungeError):
            return True
        record.exc_info, record.msg, record.args = None, str(error), ()
        return record.name == STEPS


STEPS, RUNS, ENGINE = "prefect.task_runs", "prefect.flow_runs", "prefect.engine"
for each in (STEPS, RUNS, ENGINE):
    logging.getLogger(each).addFilter(PlainErrors())
