"""By when the law wants a request done: hours and months as a calendar counts them, and no time where none is named."""

from __future__ import annotations

import pytest

from expunge.policies import parse
from expunge.policies.kinds import REQUESTS
from expunge.policies.model.deadlines import TERMS, due_at


def due(good: str, kind: str, received_at: str) -> str | None:
    text = good.replace('received_at: "2026-01-12T09:30:00Z"', f'received_at: "{received_at}"')
    policy = parse(text.encode(), "policy").model_copy(update={"kind": kind})
    moment = due_at(policy)
    return moment and moment.isoformat()


@pytest.mark.parametrize(
    ("kind", "received_at", "expected"),
    [
        ("ncii", "2026-02-27T23:30:00+01:00", "2026-03-01T23:30:00+01:00"),
        ("ncii", "2024-02-28T12:00:00Z", "2024-03-01T12:00:00+00:00"),
        ("privacy_erasure", "2026-01-12T09:30:00Z", "2026-02-12T09:30:00+00:00"),
        ("privacy_erasure", "2026-01-31T09:30:00-05:00", "2026-02-28T09:30:00-05:00"),
        ("privacy_erasure", "2024-01-30T09:30:00Z", "2024-02-29T09:30:00+00:00"),
        ("privacy_erasure", "2025-12-31T00:00:00Z", "2026-01-31T00:00:00+00:00"),
        ("privacy_erasure", "2025-11-15T00:00:00Z", "2025-12-15T00:00:00+00:00"),
    ],
)
def test_a_term_ends_as_the_calendar_has_it(good: str, kind: str, received_at: str, expected: str) -> None:
    assert due(good, kind, received_at) == expected


@pytest.mark.parametrize("kind", sorted(set(REQUESTS) - TERMS.keys()))
def test_no_time_is_made_up_where_no_law_names_one(good: str, kind: str) -> None:
    assert due(good, kind, "2026-01-12T09:30:00Z") is None


def test_every_term_is_one_that_is_computed(good: str) -> None:
    assert all(due(good, kind, "2026-01-12T09:30:00Z") for kind in TERMS)
