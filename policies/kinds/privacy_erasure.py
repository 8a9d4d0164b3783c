"""Erasure of personal data: a request under GDPR, Article 17."""

from __future__ import annotations

import calendar
from datetime import datetime

from expunge.policies.kinds.kind import LOCATED, REACHED, Element, KindOfNotice, Reasons, Term


def a_month_after(moment: datetime) -> datetime:
    """Return the same time on the same day of the next month, or on its last day if it has no such day."""
    year, month = moment.year + moment.month // 12, moment.month % 12 + 1
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))


KIND = KindOfNotice(
    name="privacy_erasure",
    heading="Erasure of personal data (GDPR)",
    words="request for erasure of personal data",
    term=Term("one month, GDPR 12(3)", a_month_after),  # two more only with notice and reasons
    protects_a_person=True,
    lasts_by="GDPR 17",
    goes_on=True,
    lumen="DataProtection",
    reasons=Reasons(
        ground="GDPR, Article 17(1)",
        category="STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
        keyword="KEYWORD_RIGHT_TO_BE_FORGOTTEN",
        source="SOURCE_TYPE_OTHER_NOTIFICATION",
    ),
    elements=(
        Element("person", "GDPR 17(1)", "Please say whose personal data it is.", ("data subject", "person")),
        Element("material", "GDPR 17(1)", "Please say which data you want erased.", (*LOCATED, "data")),
        Element("ground", "GDPR 17(1)(a)-(f)", "Please say on which ground you ask for erasure.", ("ground",)),
        Element("contact", "GDPR 12(3)", "Please say how we can tell you what was done.", REACHED),
    ),
)
