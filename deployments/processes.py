"""Processes that outlive the shell that started them, and that are recognised again before they are stopped."""

import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "STARTED_BY_EXPUNGE"
GRACE_SECONDS = 15.0
KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Launched:
    """A process that we started. `mark` is in its environment and in that of all it starts, and nowhere else.

    Process ids return, after a restart of the machine at the latest; a mark does not.
    """

    pid: int
    mark: str


def launch(argv: tuple[str, ...], environ: dict[str, str], folder: Path, log: Path) -> Launched:
    """Start `argv` in a session of its own, output to `log`."""
    mark = secrets.token_hex(16)
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            env={**environ, MARK: mark},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    launched = Launched(process.pid, mark)
    while process.poll() is None and not is_running(launched):
        time.sleep(0.001)  # for a moment after its start a process has no environment to be known by
    return launched


def is_running(launched: Launched) -> bool:
    """Whether the very process that we started is alive, and not another under its reused id."""
    try:
        process = psutil.Process(launched.pid)
        return process.status() != psutil.STATUS_ZOMBIE and _mark(process) == launched.mark
    except psutil.Error:
        return False


def stop(launched: list[Launched]) -> None:
    """SIGTERM to each with all it started, SIGKILL to what is left after a while."""
    marks = {one.mark for one in launched}
    members = [process for process in psutil.process_iter() if _mark(process) in marks]
    _signal(members, "terminate")
    _, alive = psutil.wait_procs(members, timeout=GRACE_SECONDS)
    _signal(alive, "kill")
    psutil.wait_procs(alive, timeout=KILL_SECONDS)


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):  # it ended, or is another user's
        return None


def _signal(processes: list[psutil.Process], method: str) -> None:
    for process in processes:
        try:
            getattr(process, method)()
        except psutil.NoSuchProcess:
            continue
