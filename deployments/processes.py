"""Processes that outlive the shell that started them, and that are recognised again before they are stopped."""

import secrets
import subprocess
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK, OWNER = "STARTED_BY_EXPUNGE", "STARTED_FOR_EXPUNGE"
GRACE_SECONDS = 15.0
KILL_SECONDS = 5.0
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Launched:
    """A process that we started. `mark` is in its environment and in that of all it starts, and nowhere else.

    Process ids return, after a restart of the machine at the latest; a mark does not.
    """

    pid: int
    mark: str


def launch(argv: tuple[str, ...], environ: dict[str, str], folder: Path, log: Path) -> Launched:
    """Start `argv` in a session of its own, output to `log`."""
    return start(argv, environ, folder, log)[1]


def start(
    argv: tuple[str, ...], environ: dict[str, str], folder: Path, log: Path | None = None, owner: str = ""
) -> tuple[subprocess.Popen, Launched]:
    """Start `argv` as `launch` does, by default with our own output, and return the process to wait for as well.

    What it writes only its user can read. With the mark of an `owner` it is stopped together with that one.
    """
    mark = secrets.token_hex(16)
    with log.open("ab") if log else nullcontext() as output:
        process = subprocess.Popen(
            argv,
            env={**environ, MARK: mark, OWNER: owner},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,
            umask=0o077,
        )
    launched = Launched(process.pid, mark)
    while process.poll() is None and not is_running(launched):
        time.sleep(0.001)  # for a moment after its start a process has no environment to be known by
    return process, launched


def is_running(launched: Launched) -> bool:
    """Return whether the very process that we started is alive, and not another under its reused id."""
    try:
        process = psutil.Process(launched.pid)
        return _is_alive(process) and launched.mark in _marks(process, MARK)
    except psutil.Error:
        return False


def stop(launched: list[Launched]) -> None:
    """Send SIGTERM to each, to all it started and to all that it owns; send SIGKILL to what still runs after a while.

    A process may start another between our look at the list and its own end, and a process that is just being started
    carries no mark for a moment. So we look again until two looks in a row find none.
    """
    marks = {one.mark for one in launched}
    _signal(_members(marks), "terminate")
    _wait(marks, GRACE_SECONDS)
    _wait(marks, KILL_SECONDS, signal="kill")


def _wait(marks: set[str], seconds: float, signal: str = "") -> None:
    """Wait until two looks in a row find no member, and send `signal` to those that each look finds.

    A process that ends loses its mark shortly before it is gone, so we also wait for those that an earlier look found.
    """
    deadline, empty_looks, seen = time.monotonic() + seconds, 0, set[psutil.Process]()
    while empty_looks < 2 and time.monotonic() < deadline:
        members = _members(marks)
        seen = {process for process in {*seen, *members} if _is_alive(process)}
        empty_looks = 0 if seen else empty_looks + 1
        if signal:
            _signal(members, signal)
        time.sleep(LOOK_SECONDS)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _members(marks: set[str]) -> list[psutil.Process]:
    """Return every living process that carries one of the marks; one that ended carries none."""
    return [process for process in psutil.process_iter() if marks & _marks(process, MARK, OWNER)]


def _marks(process: psutil.Process, *variables: str) -> set[str]:
    try:
        environ = process.environ()
    except (psutil.Error, OSError):  # it ended, or is another user's
        return set()
    return {environ[name] for name in variables if environ.get(name)}


def _signal(processes: list[psutil.Process], method: str) -> None:
    for process in processes:
        try:
            getattr(process, method)()
        except psutil.NoSuchProcess:
            continue
