"""A stack that may be harmed, what was drawn once, and homes that need not draw it again."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.deployments.ports import Wish, choose
from expunge.engine.emoji import MODEL
from expunge.engine.files.digests import folder_digest
from expunge.tasks.core.settings import Settings
from expunge.tasks.storage import s3
from tests.conftest import run_stack
from tests.faults.runs import DRAWN, end_of, ended, furnish, start
from tests.flows.conftest import FEW, policy_file

NewHome = Callable[[], Settings]


@pytest.fixture(scope="session")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack of its own, always on the same ports, since these tests stop its servers and start them again."""
    home = tmp_path_factory.mktemp("fragile")
    ports = choose([Wish(f"EXPUNGE_{name}_PORT") for name in ("S3", "MLFLOW", "PREFECT")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_HOME", str(home))
        for name, port in ports.items():
            patch.setenv(name, str(port))
        started = run_stack("up", home)
        assert started.returncode == 0, started.stdout + started.stderr
        settings = Settings.load()
        for name, value in {**settings.variables(), **settings.passwords}.items():
            patch.setenv(name, value)
        yield settings
        stopped = run_stack("down", home)
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two small policies on one base, by their request ids.

    Their limit lets the judge see one target in ten pictures, so each passes alone as well as after the other.
    """
    folder, digest = tmp_path_factory.mktemp("policies"), folder_digest(MODEL)
    erased = {"one": "bicycle", "two": "umbrella"}
    few = {**FEW, "max_target_rate": 0.49}
    return {name: policy_file(folder, digest, name, erase, **few) for name, erase in erased.items()}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which is kept what the homes of these tests draw."""
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture
def new_home(fragile: Settings, drawn: Path, tmp_path: Path) -> Iterator[NewHome]:
    """Make empty homes with a bucket of their own that need not draw what another one has drawn."""
    made: list[Settings] = []

    def make() -> Settings:
        settings = replace(fragile, home=tmp_path / f"home-{len(made)}", bucket=f"home-{uuid.uuid4().hex}")
        s3.client(fragile).create_bucket(Bucket=settings.bucket)
        settings.home.mkdir(mode=0o700)
        furnish(settings.home, drawn)
        made.append(settings)
        return settings

    yield make
    for settings in made:
        keep(settings.home, drawn)


def keep(home: Path, drawn: Path) -> None:
    """Add what a home has drawn to what is kept."""
    for path in (path for name in DRAWN for path in (home / name).rglob("*") if path.is_file()):
        kept = drawn / path.relative_to(home)
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            os.link(path, kept)


@pytest.fixture(scope="session")
def undisturbed(
    fragile: Settings, drawn: Path, policies: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The bundle that the first policy comes to where nothing goes wrong. What it drew is kept."""
    settings = replace(fragile, home=tmp_path_factory.mktemp("undisturbed"), bucket=f"home-{uuid.uuid4().hex}")
    s3.client(fragile).create_bucket(Bucket=settings.bucket)
    assert ended(start(settings, policies["one"])) == 0
    end = end_of(settings)
    assert (end.states, end.problems, end.still_running) == ({"one": "published"}, [], 0)
    keep(settings.home, drawn)
    return end.served
