"""A takedown is killed, at each receipt and at any moment: submitted again it ends as if nothing had happened."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.faults.conftest import NewHome
from tests.faults.runs import end_of, ended, start

pytestmark = pytest.mark.slow

STEPS = ("read", "planned", "erased", "attempted", "verified", "gated", "bundled", "published")
MOMENTS = 20
SEED = 40
SECOND_KILL = 0.5  # the share of rounds in which the second run is killed, too


@pytest.fixture(scope="module")
def duration(undisturbed: str, policies: dict[str, Path], request: pytest.FixtureRequest) -> list[float]:
    """How long a run takes that draws nothing; measured by the first round that needs it."""
    return []


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_is_killed_at_a_receipt_ends_as_if_nothing_had_happened(
    new_home: NewHome, policies: dict[str, Path], undisturbed: str, step: str
) -> None:
    settings = new_home()
    assert ended(start(settings, policies["one"], die_at=step)) == -signal.SIGKILL
    assert ended(start(settings, policies["one"])) == 0
    ends_well(settings, undisturbed)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_run_that_is_killed_at_any_moment_ends_as_if_nothing_had_happened(
    new_home: NewHome, policies: dict[str, Path], undisturbed: str, duration: list[float], moment: int
) -> None:
    """Half of them are killed a second time, on the way of going on."""
    chance = random.Random(f"{SEED}/{moment}")
    if not duration:
        begun = time.monotonic()
        assert ended(start(new_home(), policies["one"])) == 0
        duration.append(time.monotonic() - begun)
    settings = new_home()
    for _ in range(2 if chance.random() < SECOND_KILL else 1):
        process = start(settings, policies["one"])
        process.join(chance.random() * duration[0])
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
    assert ended(start(settings, policies["one"])) == 0
    ends_well(settings, undisturbed)


def ends_well(settings: object, undisturbed: str) -> None:
    end = end_of(settings)  # type: ignore[arg-type]
    assert (end.problems, end.still_running) == ([], 0)
    assert (end.states, end.served, set(end.published)) == ({"one": "published"}, undisturbed, {undisturbed})
