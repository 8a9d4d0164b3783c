"""The takedown: from a policy file to a published, verified model, to a question to people, or to a reason why not.

Every step finds what it made before by content, so running the flow again does only what is missing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field, FilePath

from expunge.flows.restore import restore
from expunge.policies import Policy, PolicyErrors, read
from expunge.tasks.approval import ask_task
from expunge.tasks.bundle import bundle_task
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Ref, Weights
from expunge.tasks.core.workflow.run_progress import progress_of
from expunge.tasks.core.workflow.steps import refusals_end_plainly
from expunge.tasks.edit import edit_task, plan_task
from expunge.tasks.gate import gate_task, refuse
from expunge.tasks.intake import read_task
from expunge.tasks.ledger.admission import received
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.ledger import Ledger
from expunge.tasks.ledger.queries import line_of
from expunge.tasks.preflight import secured
from expunge.tasks.publish import follow_task, publish_task
from expunge.tasks.record import is_of_a_person, record_task
from expunge.tasks.report import report_task
from expunge.tasks.storage.record.fetching import fetch_if_possible
from expunge.tasks.tracking.abandoned_runs import mark_run
from expunge.tasks.verify import attempt_task, compare_task, returned_task, verdict_task, verify_task
from expunge.tasks.views.run_page import show_sheets, show_verdict

STEPS = 14
"""How many steps a request takes that is published."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def request_name() -> str:
    """Return the name of a run: the request id, or the file's name where the policy cannot be read."""
    policy = Path(flow_run.parameters["policy"])
    try:
        return read(policy).request_id
    except (PolicyErrors, OSError):
        return policy.stem


@flow(name="takedown", flow_run_name=request_name, persist_result=False)
@refusals_end_plainly
def takedown(policy: FilePath, sha256: Sha256, home: Path) -> Case:
    """Take the policy file at path `policy`, whose bytes have this sha256, through the whole pipeline.

    Returns the case, whose work folder under `home` holds all that was made. Ends Failed, with the reason
    as its message, if anything is refused or the verdict is not PASS; then nothing has been published. Nor has it where
    people decide: the request waits then, and `expunge.flows.publish` goes on. The flow holds its line, checks the
    services and copies the record, whoever starts it.
    """
    (request, data), settings = received(policy, sha256), replace(Settings.load(), home=home)
    with private(home):
        fetch_if_possible(settings)
    line = line_of(request, home)
    with private(home), secured(line, settings) as ledger:
        mark_run(line, home, "takedown", f"request:{request.request_id}")
        with progress_of(request.request_id, STEPS):
            return _carried_out(request, data, ledger, settings)


def _carried_out(policy: Policy, data: bytes, ledger: Ledger, settings: Settings) -> Case:
    case = read_task(policy, data, ledger, settings)
    follow_task(case)
    if case.order.desired.restores:
        return restore(case)
    plan = plan_task(case)
    candidate = edit_task(case, plan)
    comparison = compare_task(case, plan, candidate)
    case = attempt_task(case, candidate)
    evidence = verify_task(case, candidate)
    verdict = verdict_task(case, candidate, comparison, evidence)
    gate = gate_task(case, candidate, comparison, evidence, verdict)
    named = not is_of_a_person(case)
    show_verdict(case.order, verdict, named, gate.failed if gate.shut else ())
    if gate.shut:
        with suppress(Exception):  # what was found goes before what MLflow says, which Prefect has of the task
            _report(case, candidate, verdict, evidence, named)
            record_task(case, verdict, evidence, gate.receipt, None)
        refuse(verdict, gate)
    returned_task(case, candidate)
    bundle = bundle_task(case, plan, candidate, verdict, evidence)
    if ask_task(case, bundle, verdict):
        _report(case, candidate, verdict, evidence, named)  # people decide by it
        return case
    release = publish_task(case, bundle, verdict)
    _report(case, candidate, verdict, evidence, named)
    record_task(case, verdict, evidence, release.receipt, release)
    return case


def _report(case: Case, candidate: Weights, verdict: Ref, evidence: Ref, named: bool) -> None:
    report_task(case, candidate, verdict, evidence)
    show_sheets(case.order, named)
