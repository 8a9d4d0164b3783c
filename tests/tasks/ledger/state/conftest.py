"""The database on SQLite, and once more on a real PostgreSQL server where Debian's is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from expunge.tasks.ledger.state.database import VARIABLE
from tests.postgres import BINARIES, Server, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of its own."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the environment name a new database of this kind; SQLite is what there is if it names none."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if request.param == "postgresql":
        monkeypatch.setenv(VARIABLE, request.getfixturevalue("postgres").new_database())
    return request.param
