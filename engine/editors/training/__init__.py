"""Editors that train, the baselines the field compares with: many steps of descent where others solve once.

`train` gives an EditPlan like that of any editor, so it is saved, applied, undone and measured like one. It reaches
further than text projections (`esd` changes all of cross-attention, `salun` half of all weights) and its settings are
checked the same way. A new one is a file beside `esd.py` and its name in `TRAINERS`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from typing import Any

import torch

from expunge.engine.editors import checked_settings
from expunge.engine.editors.training import esd, salun
from expunge.engine.editors.training.base import Report, Step, Trainer, unheard
from expunge.engine.editors.training.denoiser import check
from expunge.engine.errors import ConceptError, EditError, SettingError
from expunge.engine.families import plain_name, uncompiled
from expunge.engine.linalg import steady
from expunge.engine.plans.edit_plan import EditPlan, origin
from expunge.engine.spec import EditSpec
from expunge.engine.text.name_collisions import check_apart

TRAINERS: dict[str, Trainer] = {module.TRAINER.name: module.TRAINER for module in (esd, salun)}

__all__ = ["TRAINERS", "Trainer", "train"]


def train(pipeline: Any, spec: EditSpec, report: Report = unheard) -> EditPlan:
    """Fine-tune a copy of the UNet by the editor that `spec` names; the pipeline is left as it was.

    All draws come from `spec.seed`, and a processor trains on one thread, for what many steps round otherwise on two
    ends up in other weights; what does not depend on each other is drawn on as many as there are. `report` is told of
    each step. The plan's diagnostics give the `change` |D|/|W0| of each weight that was not all zero. Raises
    SettingError, ConceptError, UnknownArchitecture, or EditError when the loss is no longer finite.
    """
    if spec.editor not in TRAINERS:
        raise SettingError(f"editor {spec.editor!r} does not train; those that do: {', '.join(TRAINERS)}")
    if not spec.targets:
        raise ConceptError("there is no target; name at least one concept to erase")
    trainer = TRAINERS[spec.editor]
    settings = checked_settings(trainer.name, trainer.settings, spec.settings)
    check(pipeline)
    check_apart(pipeline, spec)
    student = copy.copy(pipeline)
    student.unet = copy.deepcopy(uncompiled(pipeline.unet)).float().requires_grad_(False).eval()
    threads = torch.get_num_threads() if pipeline.unet.device.type == "cpu" else 1
    with torch.enable_grad():
        steady(trainer.train)(pipeline, student, spec, settings, _stopping(report), threads)
    return _plan(pipeline, student.unet, spec, asdict(settings))


def _stopping(report: Report) -> Report:
    def told(step: Step) -> None:
        if step.loss is not None and not math.isfinite(step.loss):
            raise EditError("unet", f"the loss is {step.loss} at step {step.done}; lower the rate")
        report(step)

    return told


@torch.no_grad()
def _plan(pipeline: Any, student: Any, spec: EditSpec, settings: dict[str, Any]) -> EditPlan:
    deltas, diagnostics = {}, {}
    trained = dict(student.named_parameters())
    for own, weight in uncompiled(pipeline.unet).named_parameters():
        name, before = f"unet.{plain_name(own)}", weight.cpu().double()  # carried first: not every device has float64
        change = (trained[own].cpu().double() - before).float()
        if change.any():
            if not change.isfinite().all():
                raise EditError(name, "not finite after training; lower the rate")
            deltas[name] = change
            ratio = (change.double().norm() / before.norm()).item()
            diagnostics[name] = {"change": float(f"{ratio:.6g}")} if math.isfinite(ratio) else {}
    told = {"editor": spec.editor, "settings": settings, "diagnostics": diagnostics}
    return EditPlan(deltas, spec.digest, **origin(pipeline, deltas), **told)
