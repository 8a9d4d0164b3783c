"""The budget of compute: pictures are drawn only as long as what was measured says that all of them will fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tasks.errors import LimitExceeded


class Budget:
    """`minutes` of drawing from now on, on the machine as it is."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.minutes, self.missing, self.drawn = minutes, 0, 0
        self._clock, self._begun = clock, clock()

    def expect(self, pictures: int) -> None:
        """So many more are to be drawn."""
        self.missing += pictures

    @property
    def pace(self) -> float:
        """Seconds a picture so far; 0 as long as none was drawn."""
        return (self._clock() - self._begun) / self.drawn if self.drawn else 0.0

    def drew(self, pictures: int) -> None:
        """LimitExceeded as soon as the time spent and the time that the rest would take, together, are over the limit.

        After the first pictures that is an estimate, at the last minute a deadline.
        """
        self.drawn += pictures
        estimate = minutes(self.pace, max(self.missing, self.drawn))
        if estimate > self.minutes:
            raise LimitExceeded(
                f"drawing {self.missing} pictures would take {estimate:.2g} minutes ({self.pace:.2g} s each, measured "
                f"on the first {self.drawn}), limits.max_compute_minutes allows {self.minutes:g}: ask for fewer "
                "pictures, give more workers (EXPUNGE_WORKERS), or raise the limit; what was drawn is kept"
            )


def minutes(pace: float, pictures: int) -> float:
    """What so many pictures take at `pace` seconds each."""
    return pace * pictures / 60


def remember_pace(home: Path, base: str, pace: float) -> None:
    """Note how fast the model with this digest was drawn with, for the next dry run."""
    file = home / "pace" / base
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{pace:.4f}")


def known_pace(home: Path, base: str) -> float | None:
    """Seconds a picture when this home last drew with the model; None if it never did."""
    file = home / "pace" / base
    return float(file.read_text()) if file.exists() else None
