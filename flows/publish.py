"""The publication of what a person approved: a run of its own, which looks at everything again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from expunge.tasks.approval import reopen_task
from expunge.tasks.core.machine.private_home import private
from expunge.tasks.core.settings import Settings
from expunge.tasks.core.workflow.run_progress import progress_of
from expunge.tasks.core.workflow.steps import refusals_end_plainly
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.decisions.record import line_of_question
from expunge.tasks.ledger.queries import publication_in
from expunge.tasks.ledger.receipt import LINE
from expunge.tasks.preflight import prefect_staying, secured
from expunge.tasks.publish import follow_task, publish_task
from expunge.tasks.record import is_of_a_person, record_task
from expunge.tasks.restore import record_base_task
from expunge.tasks.storage.record.fetching import fetch_if_possible
from expunge.tasks.tracking.abandoned_runs import mark_run
from expunge.tasks.views.outcome import outcome
from expunge.tasks.views.run_page import show_base, show_sheets, show_verdict

STEPS = 4
"""How many steps the publication takes."""
RequestId = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
LineName = Annotated[str, Field(pattern=f"^{LINE.pattern}$")]


@flow(name="publish", flow_run_name="{request_id}", persist_result=False)
@refusals_end_plainly
def publish(request_id: RequestId, line: LineName, home: Path) -> Case:
    """Publish what a person approved on this line; returns the case.

    Ends Failed, with the reason as its message, where no approval counts or anything is otherwise than it was when
    people were asked; then nothing has been published. The flow holds its line, checks the services and copies the
    record, whoever starts it.
    """
    settings = replace(Settings.load(), home=home)
    with private(home), secured(line, settings) as ledger:
        mark_run(line, home, "publish", f"request:{request_id}")
        with progress_of(request_id, STEPS):
            approved = reopen_task(request_id, ledger, settings)
            case = approved.case
            follow_task(case)
            release = publish_task(case, approved.bundle, approved.verdict)
            if approved.verdict and approved.evidence:
                named = not is_of_a_person(case)
                show_verdict(case.order, approved.verdict, named)
                show_sheets(case.order, named)
                record_task(case, approved.verdict, approved.evidence, release.receipt, release)
            else:
                show_base(request_id, release.bundle)
                record_base_task(case, release)
            return case


def publish_approved(request_id: str, settings: Settings, line: str = "") -> dict[str, Any]:
    """Publish what a person approved, and return what came of it, as a submission does."""
    fetch_if_possible(settings)
    name = line_of_question(settings.home, request_id, line)
    with secured(name, settings), prefect_staying(settings.prefect_api_url):
        case = publish(request_id, name, settings.home)
    receipt = publication_in(case.chain, case.order.policy)
    assert receipt is not None, "the flow ended well, so the publication is on record"
    return outcome(case, receipt, repeated=False)
