"""The budget of compute: work goes on only as long as what was measured says that all of it will fit.

Work is counted in pictures. What an attack does beside drawing, learning and searching, counts as the pictures that
could be drawn meanwhile (`Attack.effort`), or an attack that takes minutes would be expected to take seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from expunge.canonical_json import canonical_json
from expunge.engine.files.atomic import write_whole
from expunge.engine.models.sampling import Sampler
from expunge.tasks.core.errors import LimitExceeded

TRIAL = 0.05  # of the limit is spent before an estimate counts: models are opened meanwhile, and a start is slow


class Budget:
    """`minutes` of work, on the machine as it is; `pictures` were drawn, `done` is all work in pictures.

    The time runs from now on, or, once it is paused, while `at_work`.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.minutes, self.missing, self.done, self.pictures = minutes, 0.0, 0.0, 0
        self._clock, self._before = clock, 0.0
        self._since: float | None = clock()

    def pause(self) -> None:
        """Stop the clock: what is done from here on is no drawing, and says nothing about its pace."""
        self._before, self._since = self.seconds, None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Run the clock inside, and pause it afterwards."""
        self._since = self._clock()
        try:
            yield
        finally:
            self.pause()

    def expect(self, effort: float) -> None:
        """So much more is to be done, in pictures."""
        self.missing += effort

    @property
    def seconds(self) -> float:
        return self._before + (0.0 if self._since is None else self._clock() - self._since)

    @property
    def pace(self) -> float:
        """Seconds a picture so far; 0 as long as none was drawn."""
        return self.seconds / self.done if self.done else 0.0

    def drew(self, pictures: int, effort: float) -> None:
        """Count so many pictures as drawn, by work that was worth `effort` plain ones.

        LimitExceeded as soon as the time spent and the time that the rest would take, together, are over the limit.
        After the first of the time that is an estimate (`TRIAL`), at the last minute a deadline.
        """
        self.pictures += pictures
        self.done += effort
        if self.seconds < TRIAL * 60 * self.minutes:
            return
        estimate = minutes(self.pace, max(self.missing, self.done))
        if estimate > self.minutes:
            raise LimitExceeded(
                f"work worth {self.missing:.0f} pictures would take {estimate:.2g} minutes ({self.pace:.2g} s each, "
                f"measured on the first {self.done:.0f}), limits.max_compute_minutes allows {self.minutes:g}: ask for "
                "fewer pictures or a lower level, give more workers (EXPUNGE_WORKERS), or raise the limit; what was "
                "drawn is kept"
            )


def minutes(pace: float, effort: float) -> float:
    """Return what work worth so many pictures takes at `pace` seconds each."""
    return pace * effort / 60


def remember_pace(home: Path, base: str, sampler: Sampler, pace: float) -> None:
    """Note how fast the model with this digest was drawn with, for the next dry run."""
    write_whole(_pace(home, base, sampler), f"{pace:.4f}".encode())


def known_pace(home: Path, base: str, sampler: Sampler) -> float | None:
    """Seconds a picture when this home last drew with the model; None if it never did, or the note is spoilt."""
    try:
        return float(_pace(home, base, sampler).read_text())
    except (OSError, ValueError):
        return None


def _pace(home: Path, base: str, sampler: Sampler) -> Path:
    return home / "pace" / f"{base}-{sampler.digest[:12]}"


@dataclass(frozen=True)
class Cost:
    """The cost of an examination in all its runs: pictures drawn, those of attacks among them, and seconds."""

    pictures: int = 0
    seconds: float = 0.0


def spend(folder: Path, budget: Budget) -> None:
    """Add what this run took to the account in the work folder; a run that drew nothing took nothing."""
    if budget.pictures:
        before = spent(folder)
        cost = Cost(before.pictures + budget.pictures, round(before.seconds + budget.seconds, 1))
        write_whole(folder / "cost.json", canonical_json(asdict(cost)))


def spent(folder: Path) -> Cost:
    """Return the account of a work folder, empty if nothing had to be drawn for it; a spoilt one is begun anew."""
    try:
        return Cost(**json.loads((folder / "cost.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return Cost()
