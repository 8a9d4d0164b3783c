"""The database on SQLite, and once more on a real PostgreSQL server where Debian's is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from expunge.tasks.ledger.state.database import VARIABLE

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of its own, without the name of a database."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")
    binaries, folder = BINARIES[-1].parent, tmp_path_factory.mktemp("postgres")
    run = [] if os.getuid() else ["runuser", "-u", "postgres", "--"]  # the server refuses to run as root
    if run:
        folder.chmod(0o755)
        for parent in folder.parents[:2]:
            parent.chmod(0o755)
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, options = folder / "data", f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    for words in (
        ["initdb", "--auth=trust", "--username=expunge", "-D", str(data)],
        ["pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start"],
    ):
        done = subprocess.run([*run, str(binaries / words[0]), *words[1:]], capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr
    yield f"postgresql://expunge@127.0.0.1:{port}"
    stop = [*run, str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
    subprocess.run(stop, check=True, capture_output=True, cwd="/")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the environment name a new database of this kind; SQLite is what there is if it names none."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if request.param == "postgresql":
        import psycopg
        from psycopg.sql import SQL, Identifier

        address, name = request.getfixturevalue("postgres"), f"state_{uuid.uuid4().hex}"
        with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        monkeypatch.setenv(VARIABLE, f"{address}/{name}")
    return request.param
