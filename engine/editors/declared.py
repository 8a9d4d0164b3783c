"""The weights that an editor declares it may change. A plan that changes others is refused, whoever signed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import torch

from expunge.engine.editors import EDITORS, checked_settings
from expunge.engine.editors.training import TRAINERS
from expunge.engine.errors import EditError
from expunge.engine.families import family_named
from expunge.engine.files.comparison import Difference
from expunge.engine.files.model_layout import components, few
from expunge.engine.models.format import class_of, pipeline_name
from expunge.engine.plans.edit_plan import EditPlan

PLAN = "deltas.safetensors"
"""The name of a plan's file, in a bundle and everywhere else."""


def undeclared(plan: EditPlan, base: Path) -> Iterator[Difference]:
    """Yield what the plan changes in `base` and its editor does not declare, by component.

    An editor in closed form declares the text projections. One that trains declares the parameters of the UNet that its
    settings name.

    Raises:
        EditError: the editor is not known here, so nothing can be said of its plan.
    """
    may_change = _declared_by(plan, base)
    further = [name for name in sorted(plan.deltas) if not may_change(name)]
    for component, names in groupby(further, lambda name: name.partition(".")[0]):
        yield Difference(
            component, PLAN, f"changes {few(list(names))}, which the editor {plan.editor} does not declare"
        )


def _declared_by(plan: EditPlan, base: Path) -> Callable[[str], bool]:
    if plan.editor in EDITORS:
        return projection_names(base).__contains__
    if plan.editor in TRAINERS:
        trainer = TRAINERS[plan.editor]
        return trainer.declared(checked_settings(trainer.name, trainer.settings, plan.settings))
    raise EditError("plan", f"is of the editor {plan.editor!r}, which this version does not know; plan the edit again")


def projection_names(base: Path) -> set[str]:
    """Return the names of the text projections of the model in `base`, from its configuration alone."""
    family, parts = family_named(pipeline_name(base)), components(base)
    with torch.device("meta"):
        denoisers = {
            name: class_of(parts[name]).from_config(class_of(parts[name]).load_config(parts[name].folder))
            for name in family.denoisers
            if name in parts
        }
    return {projection.name for projection in family.projections(SimpleNamespace(**denoisers))}
