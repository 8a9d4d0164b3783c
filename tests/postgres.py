"""A PostgreSQL server of one's own, of the binaries that Debian installs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from expunge.deployments.ports import Wish, choose

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))


TRUSTING = ("--auth=trust", "--username=expunge")


class Server:
    """A server with its files under `folder`, on a port that stays the same when it is started again.

    `options` are those of `initdb`. Without a `port` it has a free one.
    """

    def __init__(self, folder: Path, port: int = 0, options: Sequence[str] = TRUSTING) -> None:
        self.binaries, self._folder = BINARIES[-1].parent, folder
        self._run = [] if os.getuid() else ["runuser", "-u", "postgres", "--"]  # the server refuses to run as root
        if self._run:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "postgres")
        port = port or choose([Wish("postgres")])["postgres"]
        self.address = f"postgresql://expunge@127.0.0.1:{port}"
        self._options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        self._do("initdb", *options, "-D", self._data)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._do("pg_ctl", "-D", self._data, "-w", "-o", self._options, "-l", str(self._folder / "log"), "start")

    def stop(self) -> None:
        """Stop it at once, as a machine that loses power does."""
        self._do("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def new_database(self) -> str:
        """Create a database and return its address."""
        import psycopg
        from psycopg.sql import SQL, Identifier

        name = f"state_{uuid.uuid4().hex}"
        with psycopg.connect(f"{self.address}/postgres", autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return f"{self.address}/{name}"

    def _do(self, *words: str) -> None:
        if self._run:  # it must be let through to its files, and other tests that begin close the way
            for parent in (self._folder, *self._folder.parents[:3]):
                parent.chmod(parent.stat().st_mode | 0o055)
        done = subprocess.run(
            [*self._run, str(self.binaries / words[0]), *words[1:]], capture_output=True, text=True, cwd="/"
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running() -> Iterator[Server]:
    """Yield a server that answers, and stop it in the end.

    Its folder is none of pytest's: another session that begins would close that to the user of the server.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
