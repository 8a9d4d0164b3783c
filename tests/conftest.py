"""The real local stack, once a session, on free ports and in a temporary home."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from expunge.deployments.ports import Wish, choose
from expunge.tasks.core.settings import SILENCE, Settings

STACK = "EXPUNGE_TEST_STACK"
"""Where a variable of this name has the home of a stack that is up, the tests use that one."""


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module imports prefect: no reports, and results of tests never land in the home folder."""
    prefect_home = tempfile.TemporaryDirectory(prefix="prefect-")
    config.add_cleanup(prefect_home.cleanup)
    floor = str(Path(__file__).parent / "floor.yaml")
    os.environ.update({**SILENCE, "PREFECT_HOME": prefect_home.name, "EXPUNGE_FLOOR": floor})
    for name in ("EXPUNGE_SIGNING_KEY", "EXPUNGE_TRUSTED_KEYS", "EXPUNGE_RETENTION_DAYS"):
        os.environ.pop(name, None)
    # side by side each has its share of the cores; a torch that is imported has made up its mind
    if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))


def run_stack(command: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m expunge.deployments.stack COMMAND`, with state under `home`, as run by who takes no right away."""
    return subprocess.run(
        [sys.executable, "-m", "expunge.deployments.stack", command],
        env={**os.environ, "EXPUNGE_HOME": str(home), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        umask=0,
    )


@pytest.fixture(scope="session")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a stack that is up, started and stopped by the command that users run."""
    if up := os.environ.get(STACK):
        yield Path(up)
        return
    home = tmp_path_factory.mktemp("home")
    ports = choose([Wish(f"EXPUNGE_{name}_PORT") for name in ("S3", "MLFLOW", "PREFECT")])
    started = run_stack("up", home, **{name: str(port) for name, port in ports.items()})
    assert started.returncode == 0, started.stdout + started.stderr
    yield home
    stopped = run_stack("down", home)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture(scope="session")
def stack(stack_home: Path) -> Iterator[Settings]:
    """S3, MLflow and Prefect that run; `$EXPUNGE_HOME` is theirs, and the environment has what opens them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_HOME", str(stack_home))
        settings = Settings.load()
        for name, value in settings.passwords.items():
            patch.setenv(name, value)
        yield settings
