"""Machines that take requests from one queue; some of what they run is killed, and is then asked for again."""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.tasks.core.errors import ServiceUnreachable

ROOT = Path(__file__).parents[2]
AGAIN = 2.0
"""So many seconds a request waits that ended because a server did not answer."""
MOST = 200
"""So often at most one request is begun."""

Event = tuple[int, Mapping[str, Any]]


class Machine:
    """A process of `tests.load.machine` with its home; what it says goes to `events` with its number."""

    def __init__(self, number: int, variables: Mapping[str, str], events: queue.Queue[Event]) -> None:
        command = [sys.executable, "-m", "tests.load.machine"]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._number, self._events = number, events
        threading.Thread(target=self._read, daemon=True).start()

    def submit(self, policy: Path) -> None:
        """Ask for one more request."""
        assert self._process.stdin
        self._process.stdin.write(f"{policy}\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Let it end, and wait for that."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._events.put((self._number, json.loads(line)))


@dataclass
class Load:
    """What is to be done, by whom, and what came of it: `ended` counts exit codes, of a signal negative ones."""

    policies: Sequence[Path]
    machines: Sequence[Machine]
    events: queue.Queue[Event]
    workers: int
    kill_every: float
    draws: random.Random
    done: set[str] = field(default_factory=set)
    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[int] = field(default_factory=Counter)
    refused: dict[str, int] = field(default_factory=dict)

    def run(self, look: Callable[[int], None]) -> None:
        """Work everything off; `look` is called all the time with the number of requests that are done."""
        waiting = deque((0.0, str(path)) for path in self.policies)
        busy: dict[str, tuple[int, int]] = {}  # machine and process of each request
        next_kill = time.monotonic() + self._pause()
        while waiting or busy:
            self._hand_out(waiting, busy)
            with suppress(queue.Empty):
                machine, said = self.events.get(timeout=0.2)
                self._take(machine, said, waiting, busy)
            if time.monotonic() > next_kill and (alive := [pid for _, pid in busy.values() if pid]):
                next_kill = time.monotonic() + self._pause()
                with suppress(ProcessLookupError):  # it ended just now
                    os.kill(self.draws.choice(alive), signal.SIGKILL)
            look(len(self.done))

    def _pause(self) -> float:
        """Return the seconds until the next kill. They vary, so that the last worker is not always struck too early."""
        return self.draws.expovariate(1 / self.kill_every)

    def _hand_out(self, waiting: deque[tuple[float, str]], busy: dict[str, tuple[int, int]]) -> None:
        """Give every machine with a worker to spare the next request whose time has come."""
        for number, machine in enumerate(self.machines):
            while sum(place == number for place, _ in busy.values()) < self.workers:
                due = [item for item in waiting if item[0] <= time.monotonic()]
                if not due:
                    return
                waiting.remove(due[0])
                policy = due[0][1]
                self.begun[policy] += 1
                assert self.begun[policy] <= MOST, f"{policy} was begun {MOST} times"
                busy[policy] = (number, 0)
                machine.submit(Path(policy))

    def _take(
        self, machine: int, said: Mapping[str, Any], waiting: deque[tuple[float, str]], busy: dict[str, tuple[int, int]]
    ) -> None:
        """Note that a request has begun or ended; what was killed, or lacked a server, waits again."""
        policy = said["policy"]
        if pid := said.get("pid"):
            busy[policy] = (machine, pid)
            return
        del busy[policy]
        code = said["code"]
        self.ended[code] += 1
        if code == 0:
            self.done.add(policy)
            print(f"{len(self.done)} of {len(self.policies)} published", file=sys.stderr, flush=True)
        elif code in (-signal.SIGKILL, ServiceUnreachable.exit_code):
            waiting.append((time.monotonic() + AGAIN, policy))
        else:
            self.refused[policy] = code
