"""Many requests at once on real servers: `python -m tests.load [--requests 200] [--lines 20]`.

Two machines with a home each share S3, PostgreSQL, Prefect and MLflow. Each has two workers, which submit requests
whose pictures are made up. Every few seconds, at random, a worker is killed. In turn S3, the database, MLflow and
Prefect are stopped for a while. In the end each request has one state, every line is one chain, and the audit finds it
whole. `reconcile` then repairs what the killed workers left behind, and finds nothing more when it runs again.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from expunge.deployments.ports import Wish, choose
from expunge.engine.emoji import CLIP_JUDGE
from expunge.tasks.core.settings import SILENCE, Settings
from expunge.tasks.reconcile.finding import Done
from tests.conftest import run_stack
from tests.faults.runs import harm
from tests.load.machines import ROOT, Load, Machine
from tests.load.material import bases, policies
from tests.postgres import running
from tests.tasks.ledger.signatures.keys import write_key

SEED = 42
MACHINES, WORKERS = 2, 2
HARMED = ("s3", "database", "mlflow", "prefect")


@dataclass
class Outages:
    """Servers that stop in turn, at equal distances of the work, and start again after so many seconds."""

    stop: Mapping[str, Callable[[], None]]
    start: Callable[[str], None]
    total: int
    seconds: float
    number: int = 0
    down: str = ""
    since: float = 0.0

    def look(self, done: int) -> None:
        """Stop or start what is due after so many requests."""
        if self.down and time.monotonic() - self.since > self.seconds:
            self.start(self.down)
            self.down = ""
        names = list(self.stop)
        if (
            self.seconds
            and not self.down
            and self.number < len(names)
            and done >= self.total * (self.number + 1) / (len(names) + 1)
        ):
            self.down, self.since = names[self.number], time.monotonic()
            self.number += 1
            self.stop[self.down]()

    def finish(self) -> None:
        """Start again what is still stopped. AssertionError if the work ended before each server was stopped."""
        if self.down:
            self.start(self.down)
        assert self.number == len(self.stop) or not self.seconds, f"only {self.number} servers were stopped"


@dataclass(frozen=True)
class Services:
    """A stack and a database of one's own: what names them, and what stops and starts each server."""

    variables: Mapping[str, str]
    stop: Mapping[str, Callable[[], None]]
    start: Callable[[str], None]


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """Start the servers, and stop them in the end."""
    home = folder / "stack"
    home.mkdir()
    ports = choose([Wish(f"EXPUNGE_{name}_PORT") for name in ("S3", "MLFLOW", "PREFECT")])

    def up() -> None:
        started = run_stack("up", home, **{name: str(port) for name, port in ports.items()})
        assert started.returncode == 0, started.stdout + started.stderr

    with running() as postgres:
        up()
        variables = Settings.of(home, json.loads((home / "stack" / "env.json").read_text())).variables()
        named = {**variables, "EXPUNGE_DATABASE": postgres.new_database()}
        stop = {name: partial(harm, home, name, signal.SIGTERM) for name in HARMED} | {"database": postgres.stop}
        try:
            yield Services(named, stop, lambda name: postgres.start() if name == "database" else up())
        finally:
            run_stack("down", home)


def run(folder: Path, requests: int, lines: int, kill_every: float, outage: float) -> dict[str, Any]:
    """Do the whole of it in an empty folder and return the figures; AssertionError where something is wrong."""
    (folder / "bases").mkdir()
    asked = policies(folder / "policies", bases(folder / "bases", lines), requests)
    key, _ = write_key(folder, "operator")
    with services(folder) as servers:
        homes = [folder / f"machine-{number}" / "home" for number in range(MACHINES)]
        environs = [_environ(home, servers.variables, key) for home in homes]
        events: queue.Queue[Any] = queue.Queue()
        machines = [Machine(number, environ, events) for number, environ in enumerate(environs)]
        load = Load(asked, machines, events, WORKERS, kill_every, random.Random(f"load/{SEED}"))
        outages = Outages(servers.stop, servers.start, requests, outage)
        begun = time.monotonic()
        load.run(outages.look)
        seconds = time.monotonic() - begun
        for machine in machines:
            machine.stop()
        assert not load.refused, f"refused, by exit code: {load.refused}"
        outages.finish()
        receipts = [_whole(environ, requests, lines) for environ in environs]
        repaired = _reconciled(environs[0], lines)
        receipts += [_whole(environ, requests, lines) for environ in environs]
    assert len(set(receipts)) == 1, f"the machines tell of {receipts} receipts"
    ends = {"killed": load.ended[-signal.SIGKILL], "ended for want of a server": sum(load.ended.values()) - requests}
    ends["ended for want of a server"] -= ends["killed"]
    return {
        "requests": requests,
        "lines": lines,
        "minutes": round(seconds / 60, 1),
        **ends,
        "receipts": receipts[0],
    } | repaired


def _environ(home: Path, variables: Mapping[str, str], key: Path) -> dict[str, str]:
    home.mkdir(parents=True, mode=0o700)
    floor = ROOT / "tests" / "floor.yaml"
    own = {"EXPUNGE_HOME": home, "EXPUNGE_SIGNING_KEY": key, "EXPUNGE_FLOOR": floor, "PREFECT_HOME": home / "prefect"}
    own["EXPUNGE_JUDGE"] = CLIP_JUDGE
    return {**SILENCE, **variables, **{name: str(value) for name, value in own.items()}, "OMP_NUM_THREADS": "1"}


def _whole(environ: Mapping[str, str], requests: int, lines: int) -> int:
    """Return how many receipts a machine has; AssertionError unless every request is published on a whole line."""
    fetched = _command(environ, "rebuild", "--json")
    assert fetched["lines"] == lines, fetched
    rows = _command(environ, "status", "--json")["requests"]
    assert len({row["request_id"] for row in rows}) == len(rows) == requests
    assert Counter(row["state"] for row in rows) == {"published": requests}
    audited = _command(environ, "audit", "--stored", "--json")
    assert audited["problems"] == [], audited["problems"]
    return sum(line["receipts"] for line in audited["lines"])


def _reconciled(environ: Mapping[str, str], lines: int) -> dict[str, Any]:
    """Return how much `reconcile` repaired in each place; AssertionError if anything is still wrong after it."""
    at_once = {**environ, "EXPUNGE_ORPHAN_DAYS": "0"}
    found = _command(at_once, "reconcile", "--json")
    assert len(found["lines"]) == lines, found["lines"]
    assert not (other := [row for row in found["findings"] if row["done"] != Done.REPAIRED]), other
    again = _command(at_once, "reconcile", "--json")
    assert again["findings"] == [], again["findings"]
    return {"repaired": dict(Counter(row["place"] for row in found["findings"]))}


def _command(environ: Mapping[str, str], *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "expunge.flows.cli", *words],
        env={**os.environ, **environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--kill-every", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--outage", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--work", type=Path, help="an empty folder; by default a temporary one, which is removed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="load-") as temporary:
        folder = args.work or Path(temporary)
        print(json.dumps(run(folder, args.requests, args.lines, args.kill_every, args.outage)))


if __name__ == "__main__":
    main()
