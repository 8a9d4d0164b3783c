"""Two submissions at once, of one request and of two: both end well, and what is served is the same in any order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import NewHome
from tests.faults.runs import End, end_of, ended, start

pytestmark = pytest.mark.slow

ROUNDS = 20


def at_once(new_home: NewHome, *policies: Path) -> End:
    """Submit these at the same time in one empty home, and return how it ends."""
    settings = new_home()
    processes = [start(settings, policy) for policy in policies]
    assert [ended(process) for process in processes] == [0] * len(policies)
    return end_of(settings)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_one_request_that_is_submitted_twice_at_once_is_carried_out_once(
    new_home: NewHome, policies: dict[str, Path], undisturbed: str, number: int
) -> None:
    end = at_once(new_home, policies["one"], policies["one"])
    assert (end.problems, end.still_running, end.states) == ([], 0, {"one": "published"})
    assert (end.served, list(end.published)) == (undisturbed, [undisturbed])


@pytest.fixture(scope="module")
def together() -> set[str]:
    """The models that the rounds below came to in the end."""
    return set()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_two_requests_that_are_submitted_at_once_are_both_in_force_whoever_was_first(
    new_home: NewHome, policies: dict[str, Path], undisturbed: str, together: set[str], number: int
) -> None:
    end = at_once(new_home, policies["one"], policies["two"])
    assert (end.problems, end.still_running) == ([], 0)
    assert end.states == {"one": "published", "two": "published"}
    assert (len(end.published), end.served) == (2, list(end.published)[-1])
    together.add(end.model)
    assert len(together) == 1, "whoever was first"
