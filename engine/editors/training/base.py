"""The interface of an editor that trains: a copy of the denoiser to change, and what one run of it works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from expunge.engine.editors.training.checkpoints import Checkpoints
from expunge.engine.errors import SettingError
from expunge.engine.plans.edit_plan import EditPlan
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
    """Do nothing: the report of a caller who wants none."""


ClosedForm = Callable[[Any, EditSpec], EditPlan]
"""Plans an edit of a pipeline in closed form."""


def unplanned(pipeline: Any, spec: EditSpec) -> EditPlan:
    """Refuse to plan. Training lies below planning, which passes its own closed form down."""
    raise SettingError(f"a training that begins at {spec.editor} is planned by expunge.engine.planning.make.make")


@dataclass(frozen=True)
class Run:
    """The tools of one training.

    `report` is called after each step. Work that falls into parts may use so many `threads`. `checkpoints` keep what a
    killed run had done. `closed_form` plans the edit at which a training begins.
    """

    report: Report = unheard
    threads: int = 1
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    closed_form: ClosedForm = unplanned


@dataclass(frozen=True)
class Trainer:
    """An editor that trains: `train(pipeline, student, spec, settings, run)` changes the UNet of `student` in place.

    `student` is the pipeline with a float32 copy of its UNet, in evaluation mode and without gradients. It shares all
    else with the pipeline, which must be left as it was. `further(settings)` names components of which it has a copy
    too, where the pipeline has them. It runs on one thread, and may share independent parts of its
    work among the threads of the run. The class `settings` raises SettingError for values that cannot be trained with.
    `declared(settings)` returns a function that says of a weight's name whether the trainer may change it.
    """

    name: str
    settings: type[Any]
    train: Callable[[Any, Any, EditSpec, Any, Run], None]
    declared: Callable[[Any], Callable[[str], bool]]
    further: Callable[[Any], tuple[str, ...]] = lambda settings: ()
