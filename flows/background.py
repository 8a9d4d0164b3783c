"""Run a command in a process of its own, and follow it: whoever started it may end, it goes on.

The folder of a run in the home has `run.json` (what was started, by whom), `process.json`, what the command printed
(`out.json`, `log.txt`), and at its end `end.json` with the exit code.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.paths import write_over

RUN_ID = re.compile(r"[0-9]{14}-[0-9a-f]{12}")
POLICY = "policy.yaml"
MOST_LOG = 200_000
LOST = "it ended without a result: the machine or somebody stopped it; start it again, what is done is kept"


def start(
    home: Path, command: str, words: Sequence[str], who: str, request_id: str, policy: bytes | None = None
) -> str:
    """Start `expunge COMMAND --json -- WORDS...` for this person, and return the id of the run.

    A policy is copied into the folder of the run, and its path is the first word. UsageError where the same command
    runs for this request already.
    """
    if any(one["state"] == "running" and one["command"] == command for one in runs(home, request_id)):
        raise UsageError(f"`{command}` is running for this request already: wait for its end")
    at = datetime.now(UTC)
    run_id = f"{at:%Y%m%d%H%M%S}-{secrets.token_hex(6)}"
    folder = _folder(home, run_id)
    folder.mkdir(mode=0o700, parents=True)
    if policy is not None:
        (folder / POLICY).write_bytes(policy)
        words = [str(folder / POLICY), *words]
    started = {"command": command, "words": ["--json", "--", *words], "request_id": request_id, "who": who}
    _write(folder / "run.json", {**started, "at": at.isoformat(timespec="seconds")})
    environment = {**os.environ, "EXPUNGE_HOME": str(home), "EXPUNGE_ACTOR": who}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "expunge.flows.background", str(folder)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _write(folder / "process.json", {"pid": process.pid, "born": psutil.Process(process.pid).create_time()})
    return run_id


def describe(home: Path, run_id: str) -> dict[str, Any] | None:
    """Return what was started and what came of it; None if there is no such run.

    `state` is running, done or lost. `result` is what the command printed as JSON, `said` its errors, `log` all else.
    """
    folder = _folder(home, run_id)
    if not RUN_ID.fullmatch(run_id) or (begun := _read(folder / "run.json")) is None:
        return None
    running = _is_alive(_read(folder / "process.json"))
    end = _read(folder / "end.json")  # after the look at the process, which writes this before it ends
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


def main(folder: Path) -> None:
    """Run the command of a folder, and write down its end."""
    begun = _read(folder / "run.json") or {}
    words = [sys.executable, "-P", "-m", "expunge.flows.cli", begun["command"], *begun["words"]]
    with (folder / "out.json").open("wb") as out, (folder / "log.txt").open("wb") as log:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=log, check=False)
    _write(folder / "end.json", {"code": done.returncode, "at": datetime.now(UTC).isoformat(timespec="seconds")})


def _folder(home: Path, run_id: str) -> Path:
    return home / "runs" / run_id


def _is_alive(process: Mapping[str, Any] | None) -> bool:
    if process is None:
        return False
    try:
        found = psutil.Process(process["pid"])
        return found.create_time() == process["born"] and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
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
    main(Path(sys.argv[1]))
