"""The judge of an order, held to the digest on record: another one would be written up under the wrong name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from expunge.engine.errors import DigestMismatch
from expunge.engine.judges import Judge, open_judge
from expunge.tasks.core.machine.device import device
from expunge.tasks.core.work_order import Order


@dataclass(frozen=True)
class Recorded:
    """A judge's folder and the digest that it is recorded under."""

    folder: Path
    digest: str

    @classmethod
    def of(cls, order: Order) -> Recorded:
        return cls(order.judge_folder, order.judge)

    def open(self) -> Judge:
        """Return the judge, read and digested once in each process; DigestMismatch if the folder holds another one."""
        return _opened(self)


@lru_cache(maxsize=1)
def _opened(recorded: Recorded) -> Judge:
    judge = open_judge(recorded.folder, device())
    if judge.digest != recorded.digest:
        cure = "put the judge back that the order was made with, or submit again to be judged by this one"
        raise DigestMismatch(f"judge folder {recorded.folder.name}", recorded.digest, judge.digest, cure)
    return judge
