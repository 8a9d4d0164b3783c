"""What a verification costs on the built-in model: `python -m benchmarks.verification.cost [--workers 2] [--kill]`.

An honest edit is examined at `standard` by `expunge verify` in a process of its own: one target, ten look-alikes, in
rounds. Then two more on the same base in the same home, where they find what is known of the unedited model: one of the
same concepts, as when a second notice comes in or an edit was refused and is made harder, and one of another target
with the same kept list. How many rounds these two take is their own affair, so each is also run in an empty home: the
last column compares with that. With --kill the first is killed half-way and begun again: no picture that was there is
drawn again, and what had to be drawn twice is at most a shard for each worker.

Prints seconds on the clock, pictures drawn and verdict; `--write` puts them into the documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.common.page import DOCS, put, table
from benchmarks.hostile_models.models import HONEST_STRENGTH, honest
from benchmarks.redteam import notice
from expunge.engine.emoji import MODEL
from expunge.policies import Policy, Retained
from expunge.policies.model.canonical import composed_json

FIRST = ("first policy", "taxi", HONEST_STRENGTH)
LATER = (
    ("second policy, same concepts, edited harder", "taxi", HONEST_STRENGTH + 1),
    ("second policy, another target", "helicopter", HONEST_STRENGTH),
)
LOOK_ALIKES = (
    "car", "police car", "jeep", "bus", "tractor", "ambulance", "fire truck", "locomotive", "bicycle", "airplane",
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, pictures that had to be drawn, and what came of it."""

    job: str
    wall: float
    drawn: int
    verdict: str
    alone: float = 0.0  # seconds on the clock of the same in an empty home


def policy(target: str) -> Policy:
    kept = [Retained(id=n.replace(" ", "-"), name=n, kind="look_alike", category="object") for n in LOOK_ALIKES]
    plain = notice(target=target)
    return plain.model_copy(update={"retain": (*kept, *plain.retain)})


def pictures(home: Path) -> set[Path]:
    return set((home / "pictures").rglob("*.png"))


def command(folder: Path, home: Path, target: str, strength: float, workers: int) -> tuple[list[str], dict[str, str]]:
    """`expunge verify` on the honest edit for this target, which is made if need be, and its environment."""
    model, file = folder / f"{target}-{strength:g}", folder / f"{target}.yaml"
    if not model.exists():
        honest(MODEL, policy(target), model, strength)
        file.write_bytes(composed_json(policy(target).model_dump(mode="json")))
    words = [
        sys.executable,
        "-m",
        "expunge.flows.cli",
        "verify",
        str(model),
        "--policy",
        str(file),
        "--level",
        "standard",
    ]
    return [*words, "--json"], {**os.environ, "EXPUNGE_HOME": str(home), "EXPUNGE_WORKERS": str(workers)}


def timed(job: str, words: Sequence[str], home: Path, variables: dict[str, str]) -> Cost:
    known, begun = pictures(home), time.monotonic()
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    wall = time.monotonic() - begun
    try:
        result: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(done.stderr) from None
    return Cost(job, wall, len(pictures(home) - known), result["verdict"])


def measured(folder: Path, home: str, job: str, target: str, strength: float, workers: int) -> Cost:
    words, variables = command(folder, folder / home, target, strength, workers)
    return timed(f"{job} ({target})", words, folder / home, variables)


def killed(words: Sequence[str], home: Path, variables: dict[str, str], after: int) -> int:
    """Run until `after` pictures are there, kill it, and return how many there were."""
    running = subprocess.Popen(words, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None and len(pictures(home)) < after:
        time.sleep(0.2)
    if running.poll() is not None:
        raise SystemExit("it ended before it could be killed")
    running.kill()
    running.wait()
    return len(pictures(home))


def page(costs: Sequence[Cost]) -> str:
    first = costs[0].wall
    rows = [
        [
            c.job,
            f"{c.wall:.0f} s",
            str(c.drawn),
            c.verdict,
            f"{c.wall / first:.0%}",
            f"{c.wall / c.alone:.0%} of {c.alone:.0f} s" if c.alone else "-",
        ]
        for c in costs
    ]
    heads = ["examination", "clock", "pictures drawn", "verdict", "of the first", "of itself alone"]
    return table(heads, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", action="store_true", help="also kill the first half-way and begin it again")
    parser.add_argument("--write", action="store_true", help="then write the table into docs/verification/measured.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="expunge-cost-") as scratch:
        folder, costs = Path(scratch), []
        for job, target, strength in (FIRST, *LATER):
            cost = measured(folder, "home", job, target, strength, args.workers)
            if costs:
                alone = measured(folder, f"alone-{len(costs)}", job, target, strength, args.workers)
                cost = replace(cost, alone=alone.wall)
            costs.append(cost)
            print(cost, f"{cost.wall / costs[0].wall:.0%} of the first", flush=True)
        if args.kill:
            words, variables = command(folder, folder / "again", *FIRST[1:], args.workers)
            there = killed(words, folder / "again", variables, costs[0].drawn // 2)
            stamps = {path: path.stat().st_mtime_ns for path in pictures(folder / "again")}
            costs.append(timed(f"first policy, killed at {there} pictures", words, folder / "again", variables))
            twice = sum(path.stat().st_mtime_ns != stamp for path, stamp in stamps.items())
            print(costs[-1], f"{twice} pictures were drawn again", flush=True)
    print(f"load of the machine at the end: {os.getloadavg()}, {os.cpu_count()} processors")
    if args.write:
        put("cost", page(costs), DOCS / "verification" / "measured.md")


if __name__ == "__main__":
    main()
