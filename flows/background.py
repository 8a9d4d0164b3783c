"""Run a command in a process of its own, and follow it: whoever started it may end, it goes on.

The folder of a run in the home has `run.json` (what was started, by whom), what the command printed (`out.json`,
`log.txt`), and at its end `end.json` with the exit code. Its processes hold the file `lock` locked for as long as they
live; the system lets go of it when they end, however they end. So no clock and no reused process id matters.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.paths import write_over

RUN_ID = re.compile(r"[0-9]{14}-[0-9a-f]{12}")
POLICY, LOCK = "policy.yaml", "lock"
MOST_LOG = 200_000
KEPT = timedelta(days=30)
"""How long the folder of a run is kept after its end."""
LOST = "it ended without a result: the machine or somebody stopped it; start it again, what is done is kept"


def start(
    home: Path,
    command: str,
    words: Sequence[str],
    who: str,
    request_id: str,
    policy: bytes | None = None,
    line: str = "",
) -> str:
    """Start `expunge COMMAND --json -- WORDS...` for this person, and return the id of the run.

    A policy is copied into the folder of the run, and its path is the first word. The command gets `--line` where a
    model line is named. UsageError where the same command runs for this request on this line already.
    """
    running = [(one["command"], one.get("line", "")) for one in runs(home, request_id) if one["state"] == "running"]
    if (command, line) in running:
        raise UsageError(f"`{command}` is running for this request already: wait for its end")
    clear(home, at := datetime.now(UTC))
    run_id = f"{at:%Y%m%d%H%M%S}-{secrets.token_hex(6)}"
    folder = _folder(home, run_id)
    folder.mkdir(mode=0o700, parents=True)
    if policy is not None:
        (folder / POLICY).write_bytes(policy)
        words = [str(folder / POLICY), *words]
    options = ["--json", *([f"--line={line}"] if line else []), "--"]
    started = {"command": command, "words": [*options, *words], "request_id": request_id, "line": line, "who": who}
    environment = {**os.environ, "EXPUNGE_HOME": str(home), "EXPUNGE_ACTOR": who}
    with (folder / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # before `run.json`, by which others find the run
        _write(folder / "run.json", {**started, "at": at.isoformat(timespec="seconds")})
        subprocess.Popen(
            [sys.executable, "-P", "-m", "expunge.flows.background", str(folder), str(lock.fileno())],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    return run_id


def clear(home: Path, now: datetime) -> None:
    """Remove the folders of runs that ended longer ago than KEPT, or were lost then."""
    folder = home / "runs"
    for path in folder.iterdir() if folder.is_dir() else ():
        if not RUN_ID.fullmatch(path.name) or path.is_symlink() or _is_running(path):
            continue
        last = _read(path / "end.json") or _read(path / "run.json") or {}
        if "at" in last and datetime.fromisoformat(last["at"]) < now - KEPT:
            shutil.rmtree(path, ignore_errors=True)


def describe(home: Path, run_id: str) -> dict[str, Any] | None:
    """Return what was started and what came of it; None if there is no such run.

    `state` is running, done or lost. `result` is what the command printed as JSON, `said` its errors, `log` all else.
    """
    folder = _folder(home, run_id)
    if not RUN_ID.fullmatch(run_id) or (begun := _read(folder / "run.json")) is None:
        return None
    running = _is_running(folder)
    end = _read(folder / "end.json")  # after the look at the lock, which is held until this is written
    state = "done" if end else "running" if running else "lost"
    log = _text(folder / "log.txt")
    said = [line.removeprefix("expunge: ") for line in log.splitlines() if line.startswith("expunge: ")]
    return {
        **begun,
        "id": run_id,
        "state": state,
        "code": end and end["code"],
        "ended_at": end and end["at"],
        "result": _read(folder / "out.json") if end else None,
        "said": [LOST] if state == "lost" else said,
        "log": log,
    }


def runs(home: Path, request_id: str | None = None) -> list[dict[str, Any]]:
    """Return the runs for a request, or all, the latest first."""
    folder = home / "runs"
    names = sorted((path.name for path in folder.iterdir()), reverse=True) if folder.is_dir() else []
    begun = ((name, _read(folder / name / "run.json")) for name in names)
    own = [name for name, run in begun if run and request_id in (None, run["request_id"])]  # before any log is read
    return [run for name in own if (run := describe(home, name))]


def main(folder: Path, lock: int) -> None:
    """Run the command of a folder, and write down its end; both processes hold the lock, an open file."""
    begun = _read(folder / "run.json") or {}
    words = [sys.executable, "-P", "-m", "expunge.flows.cli", begun["command"], *begun["words"]]
    with (folder / "out.json").open("wb") as out, (folder / "log.txt").open("wb") as log:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=log, pass_fds=[lock], check=False)
    _write(folder / "end.json", {"code": done.returncode, "at": datetime.now(UTC).isoformat(timespec="seconds")})


def _folder(home: Path, run_id: str) -> Path:
    return home / "runs" / run_id


def _is_running(folder: Path) -> bool:
    """Return whether a process of this run holds its lock."""
    try:
        with (folder / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _text(path: Path) -> str:
    try:
        text = path.read_bytes()[-MOST_LOG:].decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n"))


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_over(path, json.dumps(content).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
