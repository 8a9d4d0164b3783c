"""What an editor that trains is given: a copy of the denoiser to change, and somebody to tell how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from expunge.engine.spec import EditSpec


@dataclass(frozen=True)
class Step:
    """`done` of the `whole` of a stage, such as 3 of 100 pictures; `loss` where there is one."""

    stage: str
    done: int
    whole: int
    loss: float | None = None


Report = Callable[[Step], object]
"""Called after each step."""


def unheard(step: Step) -> None:
    """The report of one who does not listen."""


@dataclass(frozen=True)
class Trainer:
    """`train(pipeline, student, spec, settings, report, threads)` changes the UNet of `student` in place.

    `student` is the pipeline with a float32 copy of its UNet, in evaluation mode and without gradients; the pipeline
    itself, with which it shares all else, must be left as it was. It runs on one thread; work in parts that have
    nothing to do with each other it may share out among `threads`. The class `settings` raises SettingError for values
    that cannot be trained with. `declared(settings)` tells of the name of a weight whether the trainer may change it.
    """

    name: str
    settings: type[Any]
    train: Callable[[Any, Any, EditSpec, Any, Report, int], None]
    declared: Callable[[Any], Callable[[str], bool]]
