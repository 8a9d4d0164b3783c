"""Drawing on a cluster: a pool of Ray's actors, each with judge and model on a device of its own.

The coordinator hands an actor its next part when the one before is done. So there are at most as many parts under way
as there are actors, and it holds no pictures: actors put those into the shared store, and return rows.

A part is bound to no actor. Ray's own repetition of a call would be: where no machine has room for the actor any more,
the call waits for ever. So a part whose actor was lost goes to the next free one, which draws only what the store does
not have, and Ray starts the actor again wherever there is room.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from expunge.tasks.core.errors import NoRoom, ServiceUnreachable
from expunge.tasks.core.settings import STORE, Settings, crew_device
from expunge.tasks.core.work_order import Weights
from expunge.tasks.evidence.drawing.judge import Recorded
from expunge.tasks.evidence.drawing.pictures import picture_secret, take_secret
from expunge.tasks.evidence.drawing.workers import Bench, Done, Examiner, Work
from expunge.tasks.storage.shared_models import fetch_folder, share_folder

LOST = (RayActorError, WorkerCrashedError, OutOfMemoryError)
TRIES = 3  # actors that a part may lose before it is held to be what ends them
PATIENCE = 600  # seconds without any actor until the cluster is held to have no room


@dataclass(frozen=True)
class Shared:
    """The store in S3 that all machines use: its address, and what seals pictures there. Keys are the machine's own."""

    variables: dict[str, str]
    secret: bytes

    @classmethod
    def of(cls, home: Path) -> Shared | None:
        """Return the store; None where there is no S3, and all machines share the home itself."""
        settings = Settings.load(())
        if not settings.s3_endpoint_url:
            return None
        variables = {
            "AWS_ENDPOINT_URL_S3": settings.s3_endpoint_url,
            "AWS_DEFAULT_REGION": settings.region,
            "EXPUNGE_BUCKET": settings.bucket,
        }
        return cls(variables, picture_secret(home))

    def enter(self) -> None:
        """Use the store in this process. A machine that names another address itself keeps its own way there."""
        for name, value in self.variables.items():
            os.environ.setdefault(name, value)
        take_secret(self.secret)


@dataclass(frozen=True)
class Place:
    """All that an actor needs to know to set itself up on whatever machine it is."""

    home: Path
    judge: Recorded
    device: str
    shared: Shared | None


class Painter:
    """An actor: it sets up its bench with the first part, and again after it was started elsewhere."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def ready(self) -> None:
        """Answer as soon as the actor runs."""

    def do(self, work: Work) -> Done:
        """Return the result of a part, drawn with models that this machine has, or fetches by digest."""
        bench = self._bench  # first, for it says where this machine finds what it has not
        return self._here(work).do(bench)

    @cached_property
    def _bench(self) -> Bench:
        place = self._place
        os.environ |= {"EXPUNGE_CREW": "ray", "EXPUNGE_CREW_DEVICE": place.device, "EXPUNGE_DEVICE": place.device}
        if place.shared:
            place.shared.enter()
        judge = Recorded(self._folder(place.judge.folder, place.judge.digest), place.judge.digest)
        return Bench(self._home, judge, place.device)

    @property
    def _home(self) -> Path:
        own = os.environ.get("EXPUNGE_HOME")
        return Path(own).absolute() if own and self._place.shared else self._place.home

    def _here(self, work: Any) -> Any:
        """Return the work with the folders of its models as they are on this machine."""
        if hasattr(work, "part"):
            return replace(work, part=self._here(work.part))
        return replace(work, **{n: Weights(self._folder(w.folder, w.digest), w.digest) for n, w in _models(work)})

    def _folder(self, folder: Path, digest: str) -> Path:
        """Return a folder that is here, or fetch it; whoever opens it compares its digest."""
        if folder.is_dir() or not self._place.shared:
            return folder
        return fetch_folder(digest, self._home, Settings.load(STORE))


@contextmanager
def actors(home: Path, judge: Recorded, count: int) -> Iterator[Examiner]:
    """Yield what does all work given to it on `count` actors, in its order.

    Raises:
        ServiceUnreachable: there is no cluster, or it has room for no actor.
        NoRoom: a part ends every actor that takes it.
    """
    with _connected():
        shared, known = Shared.of(home), set[str]()
        if shared:
            share_folder(judge.folder, judge.digest, Settings.load(STORE))
        crew = start(Place(home, judge, crew_device(), shared), count)

        def do(work: Sequence[Work]) -> Iterator[Done]:
            for part in work if shared else ():
                for _, weights in _models(getattr(part, "part", part)):
                    if weights.digest not in known:
                        share_folder(weights.folder, weights.digest, Settings.load(STORE))
                        known.add(weights.digest)
            return handed_out(crew, work)

        try:
            yield do
        finally:
            for actor in crew:
                ray.kill(actor)


def start(place: Any, count: int, kind: type = Painter, **resources: float) -> list[Any]:
    """Start actors, on as many machines as there are; on "cuda" each has a GPU, else a processor, of its own."""
    own = resources or ({"num_gpus": 1, "num_cpus": 1} if place.device == "cuda" else {"num_cpus": 1})
    made = ray.remote(kind).options(max_restarts=-1, scheduling_strategy="SPREAD", **own)
    return [made.remote(place) for _ in range(count)]


def handed_out(crew: Sequence[Any], work: Sequence[Any]) -> Iterator[Any]:
    """Yield the result of every part in the order of the work; each actor has one part at a time.

    An actor is asked first whether it runs, and asked again after it was lost: Ray answers once it runs somewhere.
    """
    waiting, done, lost, turn = deque(range(len(work))), dict[int, Any](), Counter[int](), 0
    idle: list[Any] = []
    under_way: dict[Any, tuple[Any, int | None]] = {_asked(actor): (actor, None) for actor in crew}
    while turn < len(work):
        while idle and waiting:
            actor, number = idle.pop(), waiting.popleft()
            under_way[actor.do.remote(work[number])] = (actor, number)
        for call in _finished(under_way):
            actor, number = under_way.pop(call)
            try:
                result = _result(call)
            except LOST as error:
                if number is not None:
                    waiting.appendleft(number)
                    lost[number] += 1
                    _refuse_fatal(lost[number], error)
                under_way[_asked(actor)] = (actor, None)
                continue
            idle.append(actor)
            if number is not None:
                done[number] = result
        while turn in done:
            yield done.pop(turn)
            turn += 1


def _asked(actor: Any) -> Any:
    return actor.ready.options(max_task_retries=-1).remote()


def _finished(under_way: dict[Any, tuple[Any, int | None]]) -> list[Any]:
    """Return calls that have ended, waiting for the first."""
    while True:
        found, _ = ray.wait(list(under_way), num_returns=1, timeout=PATIENCE)
        if found:
            return found
        if all(number is None for _, number in under_way.values()):
            raise ServiceUnreachable(
                f"Ray had room for no actor in {PATIENCE} seconds: add machines to the cluster, with GPUs if "
                "EXPUNGE_CREW_DEVICE is cuda, and submit again"
            )


def _result(call: Any) -> Any:
    try:
        return ray.get(call)
    except RayTaskError as error:
        if isinstance(error, LOST):
            raise
        raise error.cause from None


def _refuse_fatal(times: int, error: Exception) -> None:
    if times >= TRIES:
        raise NoRoom(
            f"the same part of the work ended {times} of Ray's actors, as a lack of memory does: take machines with "
            "more of it, and submit again"
        ) from error


def _models(work: Any) -> list[tuple[str, Weights]]:
    values = ((field.name, getattr(work, field.name)) for field in fields(work))
    return [(name, value) for name, value in values if isinstance(value, Weights)]


@contextmanager
def _connected() -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or that runs on this machine, unless this process is connected."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(os.environ.get("RAY_ADDRESS") or "auto", log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise ServiceUnreachable(
            f"there is no Ray cluster ({error}): set RAY_ADDRESS, or start one with `ray start --head`"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
