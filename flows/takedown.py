"""The takedown: from a policy file to a published, verified model, or to a reason why not.

Every step finds what it made before by content, so running the flow again does only what is missing.
"""

from __future__ import annotations

from contextlib import suppress

from prefect import flow

from expunge.flows.restore import restore
from expunge.tasks.bundle import bundle_task
from expunge.tasks.core.work_order import load_state
from expunge.tasks.edit import edit_task, plan_task
from expunge.tasks.gate import gate_task, refuse
from expunge.tasks.intake import read_policy
from expunge.tasks.publish import follow_task, publish_task
from expunge.tasks.record import record_task
from expunge.tasks.report import report_task
from expunge.tasks.verify import attempt_task, compare_task, verdict_task, verify_task


@flow(name="takedown", persist_result=False)
def takedown(policy: str, sha256: str, home: str) -> str:
    """Take the policy file at path `policy`, whose bytes have this sha256, through the whole pipeline.

    Returns the key of the work order, whose folder under `home` holds all that was made. Ends Failed, with the
    exception that says why, if anything is refused or the verdict is not PASS; then nothing has been published.
    """
    order = read_policy(policy, sha256, home)
    follow_task(order)
    if load_state(order).restores:
        return restore(order)
    plan = plan_task(order)
    candidate = edit_task(order, plan)
    comparison = compare_task(order, candidate)
    order = attempt_task(order, candidate)
    evidence = verify_task(order, candidate)
    verdict = verdict_task(order, candidate, comparison, evidence)
    gate = gate_task(order, candidate, evidence, verdict)
    if gate.shut:
        with suppress(Exception):  # what was found goes before what MLflow says, which Prefect has of the task
            report_task(order, candidate, verdict, evidence)
            record_task(order, verdict, evidence, gate.receipt, None)
        refuse(verdict, gate)
    bundle = bundle_task(order, plan, candidate, verdict, evidence)
    release = publish_task(order, bundle, verdict)
    report_task(order, candidate, verdict, evidence)
    record_task(order, verdict, evidence, release.receipt, release)
    return order.key
