"""Processes that outlive the shell that started them, and that are recognised again before they are stopped."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

GRACE_SECONDS = 15.0
KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Launched:
    """A session leader that we started: its process id is also the id of its session."""

    pid: int
    argv: tuple[str, ...]


def launch(argv: tuple[str, ...], environ: dict[str, str], folder: Path, log: Path) -> Launched:
    """Start `argv` in a session of its own, output to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            env=environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while process.poll() is None and not _command(process.pid):
        time.sleep(0.001)  # for a moment after its start a process has no command line to be known by
    return Launched(process.pid, argv)


def is_running(launched: Launched) -> bool:
    """Whether the very process that we started is alive, and not another under its reused id."""
    return _is_alive(launched.pid) and _command(launched.pid)[1:] == launched.argv[1:]


def stop(launched: list[Launched]) -> None:
    """SIGTERM to each with all it started, SIGKILL to what is left after a while."""
    members = [process for one in launched for process in _session(one)]
    _signal(members, "terminate")
    _, alive = psutil.wait_procs(members, timeout=GRACE_SECONDS)
    _signal(alive, "kill")
    psutil.wait_procs(alive, timeout=KILL_SECONDS)


def _session(launched: Launched) -> list[psutil.Process]:
    """The leader and its descendants, which share its session even when it is dead; nothing if the id was reused."""
    if _is_alive(launched.pid) and not is_running(launched):
        return []
    return [process for process in psutil.process_iter() if _session_of(process.pid) == launched.pid]


def _command(pid: int) -> tuple[str, ...]:
    try:
        return tuple(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ()


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _signal(processes: list[psutil.Process], method: str) -> None:
    for process in processes:
        try:
            getattr(process, method)()
        except psutil.NoSuchProcess:
            continue
