"""What Prefect starts on a worker: flows with typed parameters, which its own page shows as forms.

Each does what the command of the same name does, on the worker's home and with its keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import Field

from expunge.flows.admission import refuse_early
from expunge.flows.publish import RequestId, publish_approved
from expunge.flows.remote.one_writer import one_writer
from expunge.flows.reverify import AnyLine
from expunge.flows.submission import submit
from expunge.policies import PolicyErrors, parse
from expunge.policies.notices.redaction import hides_names
from expunge.tasks.core.errors import ServiceUnreachable, UsageError, exit_code_of
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.paths import write_over
from expunge.tasks.core.settings import Settings, acting_as
from expunge.tasks.core.workflow.run_progress import tell
from expunge.tasks.core.workflow.steps import refusals_end_plainly
from expunge.tasks.ledger.floor_store import read_to_submit
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.storage.exchange import handed_in, keep_result
from expunge.tasks.storage.record.fetching import fetch_if_possible
from expunge.tasks.tracking.abandoned_runs import mark_process

BY_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
Who = Annotated[str, Field(min_length=1, max_length=200)]
PolicyText = Annotated[str, Field(min_length=1)]


def request_name() -> str:
    """Return the name of a run: the request id where the text is there and can be read, else the name that it has."""
    try:
        known = parse(flow_run.parameters["policy"].encode(), "policy")
    except PolicyErrors:
        return flow_run.name or "takedown"
    return flow_run.name or "takedown" if hides_names(known) else known.request_id


@flow(name="submit", flow_run_name=request_name, persist_result=False)
@refusals_end_plainly
def submit_policy(policy: PolicyText, who: Who) -> Any:
    """Take a policy through the whole pipeline, as `expunge submit` does: erase, prove, record, publish.

    Args:
        policy: The text of a policy file, or sha256:DIGEST of one that `expunge submit --remote` handed in.
        who: Your name or address. Receipts name it, and whoever asks cannot approve.
    """
    return _reported(who, lambda settings: _submitted(policy, settings))


@flow(name="publish approved", flow_run_name="{request_id}", persist_result=False)
@refusals_end_plainly
def publish_request(request_id: RequestId, who: Who, line: AnyLine = "") -> Any:
    """Publish what a person approved, after a look at everything again.

    Args:
        request_id: The id of an approved request.
        who: Your name or address, which receipts name.
        line: The model line of the request, where it waits on several; else empty.
    """
    return _reported(who, lambda settings: publish_approved(request_id, settings, line))


def _submitted(policy: str, settings: Settings) -> dict[str, Any]:
    data = _content(policy, settings)
    digest = parse(data, "policy").digest
    (folder := settings.home / "handed-in").mkdir(parents=True, exist_ok=True)
    write_over(path := folder / f"{digest}.yaml", data)
    fetch_if_possible(settings)
    known = read_to_submit(path, settings.home)
    refuse_early(path, known, settings)
    with one_writer(line_of(known, settings.home), settings):
        return submit(path, known, settings)


def _content(policy: str, settings: Settings) -> bytes:
    """Return the policy's file. UsageError on the text of one that Prefect's page should not have shown."""
    if named := BY_DIGEST.fullmatch(policy.strip()):
        return handed_in(named[1], settings)
    data = policy.encode()
    if hides_names(parse(data, "policy")):
        raise UsageError(
            "this policy names a person, and everybody who opens Prefect's page can read this form: delete the run, "
            "and use `expunge submit --remote`, which shows no names"
        )
    return data


def _reported(who: str, work: Callable[[Settings], dict[str, Any]]) -> Any:
    """Do the work as this person, leave what it came to for whoever follows the run, and return its last state."""
    settings = Settings.load()
    settings.export()
    mark_process()
    run = f"{flow_run.id}/{flow_run.run_count or 1}"
    with private(settings.home), acting_as(who):
        try:
            outcome = work(settings)
        except Exception as error:
            _keep(run, {"exit_code": exit_code_of(error), "error": str(error), "outcome": None}, settings)
            raise
        keep_result(run, {"exit_code": outcome["exit_code"], "error": "", "outcome": outcome}, settings)
    return _state(outcome)


def _keep(run: str, result: dict[str, Any], settings: Settings) -> None:
    try:
        keep_result(run, result, settings)
    except ServiceUnreachable as error:  # why the work failed goes before that nobody hears of it
        tell(f"the result of this run is not in S3: {error}")


def _state(outcome: dict[str, Any]) -> Any:
    """Return how the run ends: well where something is published or people are asked, else as Failed."""
    if outcome.get("state") == "awaiting_approval":
        return Completed(message="people decide: `expunge waiting` shows what they are asked")
    if outcome["exit_code"]:
        return Failed(message="; ".join(outcome.get("suspect", [])) or f"it ended with code {outcome['exit_code']}")
    return Completed(message=f"published {outcome['bundle']}" + (", and was so before" if outcome["repeated"] else ""))
