"""Business days: when what a counter-notice asks for may be put back, and by when it must be (17 U.S.C. 512(g)(2)(C)).

The federal holidays of the United States are none. This is a working aid and no legal advice.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta

import holidays

EARLIEST, LATEST = 10, 14


def restore_window(received_at: datetime) -> tuple[datetime, datetime]:
    """Return from when and until when it is put back: 10 and 14 business days after the counter-notice came in.

    The hour is that of its arrival. What arrives on a day that is no business day counts from the last moment of it.
    """
    return business_days_after(received_at, EARLIEST), business_days_after(received_at, LATEST)


def business_days_after(moment: datetime, days: int) -> datetime:
    """Return the moment so many business days later, in the same time zone."""
    calendar = holidays.country_holidays("US")
    day, hour = moment.date(), moment.timetz()
    if not calendar.is_working_day(day):
        hour = time.max.replace(microsecond=0, tzinfo=moment.tzinfo)
    while days:
        day += timedelta(days=1)
        days -= calendar.is_working_day(day)
    return datetime.combine(day, hour)
