"""A server is stopped, killed or frozen while a takedown runs: it ends in time, and submitted again all is as ever."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from expunge.tasks.core.errors import ServiceUnreachable
from expunge.tasks.core.settings import Settings
from tests.conftest import run_stack
from tests.faults.conftest import NewHome
from tests.faults.runs import SECONDS, end_of, ended, harm, start

pytestmark = pytest.mark.slow

SERVERS = ("s3", "mlflow", "prefect")
HARMS = {"stopped": signal.SIGTERM, "killed": signal.SIGKILL, "frozen": signal.SIGSTOP}
SEED = 40
LATEST = 20.0
"""So many seconds after its start a run is under way, and not at its end."""
FROZEN = 120.0
"""So many seconds a frozen server stays so; a client of Prefect waits for up to a quarter of an hour."""


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_harmed_during_a_run(
    fragile: Settings, new_home: NewHome, policies: dict[str, Path], undisturbed: str, name: str, how: str
) -> None:
    settings, chance = new_home(), random.Random(f"{SEED}/{name}/{how}")
    process = start(settings, policies["one"])
    time.sleep(chance.random() * LATEST)
    harm(fragile.home, name, HARMS[how])
    try:
        process.join(FROZEN)
        harm(fragile.home, name, signal.SIGCONT)
        code = ended(process, SECONDS)
    finally:
        up = run_stack("up", fragile.home, **{key: value for key, value in os.environ.items() if "_PORT" in key})
    assert up.returncode == 0, up.stdout + up.stderr
    assert code in (0, ServiceUnreachable.exit_code)
    assert ended(start(settings, policies["one"])) == 0
    end = end_of(settings)
    assert (end.problems, end.still_running) == ([], 0)
    assert (end.states, end.served, set(end.published)) == ({"one": "published"}, undisturbed, {undisturbed})
