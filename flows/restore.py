"""The restoration: all that was asked for on a base is withdrawn, so the base itself takes the edited model's place."""

from __future__ import annotations

from expunge.tasks.approval import ask_task
from expunge.tasks.ledger.case import Case
from expunge.tasks.publish import publish_task
from expunge.tasks.restore import base_bundle_task, record_base_task
from expunge.tasks.views.run_page import show_base


def restore(case: Case) -> Case:
    """Publish the base of a case in which nothing is erased any more, or ask people first; returns the case."""
    bundle = base_bundle_task(case)
    if ask_task(case, bundle):
        return case
    release = publish_task(case, bundle)
    show_base(case.order.request_id, bundle)
    record_base_task(case, release)
    return case
