"""Shards: one model and a few questions to it; drawn where pictures are missing, then judged.

A shard's pictures are in the store before the next shard is begun, so a run that is killed loses one shard for each
worker. What was judged is judged again, which costs little beside drawing.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, Protocol

import torch

from expunge.engine.errors import is_out_of_memory
from expunge.engine.models.load import LAYOUT, open_model
from expunge.engine.models.sampling import Sampler, drawing_digest, picture_key
from expunge.engine.probes import Question
from expunge.engine.probes.answers import Answer, rows
from expunge.engine.stats.evidence.table import Row
from expunge.tasks.core.errors import NoRoom
from expunge.tasks.core.machine.device import PROCESSOR, device, devices
from expunge.tasks.core.machine.fork_server import start_fork_server
from expunge.tasks.core.settings import check_crew, crew_device, draws_on_cluster
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.pictures import Pictures, shelf_of

LIBRARIES = ("torch", "diffusers", "transformers")
SHARD = 16  # questions: fewer draw more slowly, hardly any picture gets cheaper by more, and a kill loses them


@dataclass(frozen=True)
class Done:
    """The result of a piece of work: its rows, how many pictures it drew, and its cost in plain pictures.

    `lacking` is what a stocktaking found: the worth of each missing key in plain pictures.
    """

    rows: list[Row]
    drawn: int
    effort: float
    lacking: Mapping[str, float] = field(default_factory=dict)


class Bench:
    """The means of one process: the store, the judge, and the model that it drew with last, on its device."""

    def __init__(self, home: Path, judge: Recorded, on: str = PROCESSOR) -> None:
        self.store, self.judge, self.on = picture_store(home), judge.open(), on
        self._weights, self._model = None, None

    def model(self, weights: Weights) -> Any:
        """Return the opened model of these weights.

        The one before is let go first, because two of them may be more than a device holds.
        """
        if weights != self._weights:
            self._weights = self._model = None
            self._model = open_model(weights.folder, weights.digest, self.on)
            self._weights = weights
        return self._model


class Work(Protocol):
    """Part of an examination that one process does at once, and that is lost or kept as a whole."""

    @property
    def size(self) -> int:
        """Rows that it makes."""
        ...

    def lacks(self, store: Pictures) -> dict[str, float]:
        """Return the keys of what has to be made for it, with the worth of each in plain pictures."""
        ...

    def do(self, bench: Bench) -> Done: ...


@dataclass(frozen=True)
class Shard:
    """Questions to one model, drawn by `sampler`; `arm` is "before" or "after"."""

    arm: str
    model: Weights
    questions: tuple[Question, ...]
    sampler: Sampler

    @property
    def size(self) -> int:
        return len(self.questions)

    def lacks(self, store: Pictures) -> dict[str, float]:
        return {key: 1.0 for question in self.questions if (key := self._key(question)) not in store}

    def do(self, bench: Bench) -> Done:
        lacking = self.lacks(bench.store)
        if lacking:  # a model is opened only to draw with it
            shots = [question.shot for question in self.questions]
            bench.store.draw(bench.model(self.model), self.model.digest, shots, self.sampler)
        return Done(self._judged(bench), len(lacking), len(lacking))

    def _key(self, question: Question) -> str:
        return picture_key(self.model.digest, question.shot, self.sampler)

    def _judged(self, bench: Bench) -> list[Row]:
        answers = [Answer.to(question, bench.store.read(self._key(question))) for question in self.questions]
        return list(rows(bench.judge, answers, self.arm))


@dataclass(frozen=True)
class Stocktaking:
    """Ask a worker what has to be made for a part: on a cluster it knows better than who hands the parts out."""

    part: Work

    @property
    def size(self) -> int:
        return 0

    def lacks(self, store: Pictures) -> dict[str, float]:
        return {}

    def do(self, bench: Bench) -> Done:
        return Done([], 0, 0.0, self.part.lacks(bench.store))


def picture_store(home: Path) -> Pictures:
    """Return the store of all pictures of a home, whoever asked for them.

    Those of another kind of device or of other libraries lie apart. They differ in rounding, and a picture before and
    one after the edit are to differ by the edit alone.
    """
    kind = crew_device() if draws_on_cluster() else device().partition(":")[0]
    name = f"{kind}-{libraries()}"
    return Pictures(home / "pictures" / name, shelf_of(home, name))


@cache
def libraries() -> str:
    """Return what computes a picture: libraries with versions, how a processor lays weights out, and our own code."""
    return "-".join([*(f"{name}-{version(name)}" for name in LIBRARIES), LAYOUT, drawing_digest()[:12]])


def cut(arm: str, model: Weights, questions: Sequence[Question], sampler: Sampler) -> list[Shard]:
    """Return shards of `SHARD` questions, whatever they are about, in their order."""
    return [
        Shard(arm, model, tuple(questions[start : start + SHARD]), sampler) for start in range(0, len(questions), SHARD)
    ]


Examiner = Callable[[Sequence[Work]], Iterator[Done]]


@contextmanager
def crew(home: Path, judge: Recorded, workers: int = 1) -> Iterator[Examiner]:
    """Yield what does all work given to it, in its order.

    Each of several `workers` is a process with its share of cores. They stay from one round to the next, with the judge
    and the model that they hold. NoRoom where memory is too small for the least part, or for so many workers. On a
    cluster the workers are Ray's actors (`cluster.actors`).
    """
    with _in_memory():
        check_crew()
        if draws_on_cluster():
            from expunge.tasks.evidence.drawing.cluster import actors

            with actors(home, judge, workers) as do:
                yield do  # type: ignore[reportReturnType]  # pyright reads this file by two names
            return
        if workers == 1:
            bench = Bench(home, judge, device())
            yield lambda work: (part.do(bench) for part in work)
            return
        context = start_fork_server()
        each = context.SimpleQueue()
        for on in devices(workers, device(), torch.cuda.device_count()):
            each.put(on)
        pool = ProcessPoolExecutor(workers, context, _begin, (home, judge, workers, each))
        try:
            yield lambda work: pool.map(_do, work)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # nobody has to see them go


@contextmanager
def _in_memory() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        cure = "set EXPUNGE_WORKERS to fewer"
        raise NoRoom(f"a worker was ended from outside, as a system does that runs out of memory: {cure}") from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise NoRoom(f"memory is too small ({error}): take a machine or device with more") from error


def examine(work: Sequence[Work], home: Path, judge: Recorded, workers: int = 1) -> Iterator[Done]:
    """Do this work and no other."""
    with crew(home, judge, workers) as do:
        yield from do(work)


_bench: Callable[[], Bench] | None = None  # one for each worker process


def _begin(home: Path, judge: Recorded, workers: int, each: SimpleQueue[str]) -> None:
    """Prepare a worker process; `each` holds one device for every worker.

    What fails here breaks the pool and says nothing, so the bench is made with the first work.
    """
    global _bench
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    on = os.environ["EXPUNGE_DEVICE"] = each.get()  # the judge asks for it, too
    _bench = cache(partial(Bench, home, judge, on))


def _do(work: Work) -> Done:
    assert _bench is not None, "the pool begins every worker with `_begin`"
    return work.do(_bench())


def _end_with_parent() -> None:
    """End this worker when its parent ends. It would wait for work forever if the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
