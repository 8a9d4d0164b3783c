"""Deadlines: by when a request has to be carried out, where a law says so. This is no legal advice.

ncii              48 hours (TAKE IT DOWN Act, section 3(a))
privacy_erasure   one month (GDPR, article 12(3); two more only with notice and reasons)

For the other kinds no law names a time: "expeditiously" (17 U.S.C. 512(c)), or what a court's order says itself.
"""

from __future__ import annotations

import calendar
from datetime import datetime, timedelta

from expunge.policies.model.policy import Policy
from expunge.policies.model.schema import Kind

TERMS: dict[Kind, str] = {
    "ncii": "48 hours, TAKE IT DOWN Act 3(a)",
    "privacy_erasure": "one month, GDPR 12(3)",
}


def due_at(policy: Policy) -> datetime | None:
    """Return the moment, in the zone in which the request came in, or None where the law names none."""
    return due_after(policy.kind, policy.received_at)


def due_after(kind: str, received_at: datetime) -> datetime | None:
    """Return by when a request of this kind, received then, has to be carried out; None where no law names a time."""
    match kind:
        case "ncii":
            return received_at + timedelta(hours=48)
        case "privacy_erasure":
            return _a_month_after(received_at)
        case _:
            return None


def _a_month_after(moment: datetime) -> datetime:
    """Return the same time on the same day of the next month, or on its last day if it has no such day."""
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
