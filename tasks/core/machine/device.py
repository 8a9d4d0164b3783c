"""Where models are drawn with and trained: `$EXPUNGE_DEVICE`, by default the processor.

An edit in closed form is solved on the processor wherever pictures are drawn, so that its digest does not depend on a
machine's accelerator.
"""

from __future__ import annotations

import os

import torch

from expunge.tasks.core.errors import UsageError

PROCESSOR = "cpu"


def device() -> str:
    """Return the device to compute on, as torch calls it: "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        UsageError: this machine has none such.
    """
    value = os.environ.get("EXPUNGE_DEVICE") or PROCESSOR
    kind, _, number = value.partition(":")
    there = {
        PROCESSOR: 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if not (number or "0").isdecimal() or int(number or 0) >= there.get(kind, 0):
        known = ", ".join(name for name, count in there.items() if count)
        raise UsageError(f"EXPUNGE_DEVICE is {value!r}, and torch finds no such device here: use one of {known}")
    return value


def devices(workers: int, on: str, there: int) -> list[str]:
    """Return the device of each of so many processes.

    Each gets a GPU of its own, in turn, where `on` is "cuda" and `there` are several. A device that was named with its
    number is for all of them.
    """
    if on != "cuda" or there < 2:
        return [on] * workers
    return [f"cuda:{number % there}" for number in range(workers)]
