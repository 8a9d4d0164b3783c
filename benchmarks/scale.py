"""How drawing scales on a cluster: `python -m benchmarks.scale [--actors 1 2 4 ...] [--pictures 100000] [--write]`.

A Ray cluster of several machines is made on this one. The coordinator and the way in which it hands out work are the
real ones (`expunge.tasks.evidence.drawing.cluster`). Drawing is a stand-in: an actor sleeps for a fixed time a picture,
so that many fit on few cores, and returns the rows that the judge would have made. The efficiency of n actors is the
time that drawing alone would take, shared by n, over the time that it took. `--pictures` are then drawn in no time by
four actors, and the memory of the coordinator is read on the way. It keeps no rows here, as it does not in between
either: what it must not keep is pictures.

Lines go to `measured/scale.tsv`; `--write` puts them into `docs/operations.md`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster

from benchmarks.common.page import DOCS, put, table
from benchmarks.common.results import FOLDER
from expunge.tasks.evidence.drawing.cluster import handed_out, start
from expunge.tasks.evidence.drawing.workers import SHARD

ROOT = Path(__file__).parents[1]
PAGE = DOCS / "operations.md"
HEADER = ("actors", "pictures", "seconds", "efficiency, %")
ACTORS = (1, 2, 4, 8, 16, 32, 64)
SECONDS, PARTS = 0.25, 6  # a picture; parts for each actor
STORE = 80 * 2**20
MIB = 2**20


@dataclass(frozen=True)
class Part:
    """Questions whose pictures take so many seconds each."""

    shots: tuple[tuple[str, int], ...]
    seconds: float


@dataclass(frozen=True)
class Result:
    """Rows as a judge makes them, and how many pictures they are of."""

    rows: list[tuple[str, str, str, int, float]]
    drawn: int


class Sleeper:
    """An actor that sleeps as long as drawing would take, and loads nothing, so that many fit into memory."""

    def __init__(self, place: object) -> None:
        self._place = place

    def ready(self) -> None:
        """Answer as soon as the actor runs."""

    def do(self, part: Part) -> Result:
        """Return a row for each picture, of about the size that a judge's has."""
        time.sleep(part.seconds * len(part.shots))
        return Result([("after", "cat", prompt, seed, 0.5) for prompt, seed in part.shots], len(part.shots))


def parts(count: int, seconds: float) -> list[Part]:
    """Return so many parts, each of other questions."""
    return [
        Part(tuple((f"a picture of a cat, number {part}", seed) for seed in range(SHARD)), seconds)
        for part in range(count)
    ]


@contextmanager
def cluster(machines: int) -> Iterator[None]:
    """Connect to a cluster of so many machines, all on this one."""
    os.environ["PYTHONPATH"] = str(ROOT)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE})
    try:
        for _ in range(machines):
            made.add_node(num_cpus=1, object_store_memory=STORE)
        ray.init(address=made.address, log_to_driver=False)
        yield
    finally:
        ray.shutdown()
        made.shutdown()


def efficiency(actors: int, seconds: float) -> tuple[float, float]:
    """Return the seconds that the work of `actors` took, and the share of them in which an actor drew."""
    crew = start(None, actors, Sleeper, num_cpus=0)
    ray.get([actor.ready.remote() for actor in crew])
    work = parts(PARTS * actors, seconds)
    begun = time.monotonic()
    drawn = sum(done.drawn for done in handed_out(crew, work))
    took = time.monotonic() - begun
    for actor in crew:
        ray.kill(actor)
    return took, drawn * seconds / actors / took


def memory(pictures: int) -> tuple[float, float, float]:
    """Return the coordinator's resident MiB after a tenth of the pictures and at the end, and pictures a second."""
    crew, process = start(None, 4, Sleeper, num_cpus=0), psutil.Process()
    count = pictures // SHARD
    begun, sizes = time.monotonic(), []
    for number, _ in enumerate(handed_out(crew, parts(count, 0.0)), 1):
        if number in (count // 10, count):
            sizes.append(process.memory_info().rss / MIB)
    for actor in crew:
        ray.kill(actor)
    return sizes[0], sizes[-1], pictures / (time.monotonic() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actors", type=int, nargs="+", default=ACTORS)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that a picture takes")
    parser.add_argument("--write", action="store_true", help="then write docs/operations.md")
    args = parser.parse_args()
    with cluster(2):
        first, last, pace = memory(args.pictures)
        print(
            f"{args.pictures} pictures: coordinator {first:.0f} MiB after a tenth, {last:.0f} MiB at the end",
            flush=True,
        )
        lines = []
        for actors in args.actors:
            took, share = efficiency(actors, args.seconds)
            lines.append((actors, actors * PARTS * SHARD, took, share))
            print(f"{actors} actors: {took:.1f} s, efficiency {share:.1%}", flush=True)
    (FOLDER / "scale.tsv").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
    said = (
        f"Handing out {args.pictures:,} pictures, {pace:,.0f} a second, the coordinator had {first:.0f} MiB after a "
        f"tenth of them and {last:.0f} MiB at the end."
    )
    rows = [(str(n), str(count), f"{took:.1f}", f"{100 * share:.0f}") for n, count, took, share in lines]
    if args.write:
        put("scale", f"{table(HEADER, rows)}\n\n{said}", PAGE)


if __name__ == "__main__":
    main()
