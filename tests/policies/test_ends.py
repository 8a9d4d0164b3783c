"""A policy ends after it was received, be it by a second."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import ValidationError

from tests.policies.test_desired_state import concept, policy

RECEIVED = datetime.fromisoformat("2026-01-01T12:00:00+00:00")


@pytest.mark.parametrize("end", ["2026-01-01T12:00:00+00:00", "2026-01-01T11:59:59+00:00", "2026-01-01T13:00:00+01:00"])
def test_a_policy_that_ends_when_it_was_received_or_before_is_refused(end: str) -> None:
    with pytest.raises(ValidationError, match="expires_at"):
        policy("r", [concept("taxi")], received_at=RECEIVED, expires_at=datetime.fromisoformat(end))


def test_a_policy_may_end_a_second_later() -> None:
    made = policy("r", [concept("taxi")], received_at=RECEIVED, expires_at=RECEIVED.replace(second=1))
    assert made.expires_at == RECEIVED.replace(second=1)
