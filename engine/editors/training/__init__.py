"""Editors that train: many steps of descent where others solve once. `hardened` is ours, the others are baselines.

`train` gives an EditPlan like that of any editor, so it is saved, applied, undone and measured like one. It changes
more than text projections: `esd` all of cross-attention, `stereo` all but that, `salun` half of all weights, `hardened`
all, and `advunlearn` the text encoder. Its settings are checked the same way. Every file here that defines `TRAINER` is
one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expunge.engine.discover import discover
from expunge.engine.editors import checked_settings
from expunge.engine.editors.training.base import ClosedForm, Report, Run, Step, Trainer, unheard, unplanned
from expunge.engine.editors.training.checkpoints import Checkpoints
from expunge.engine.editors.training.denoiser import check
from expunge.engine.errors import ConceptError, EditError, SettingError
from expunge.engine.families import plain_name, uncompiled
from expunge.engine.files.digests import file_digest
from expunge.engine.linalg import steady
from expunge.engine.plans.edit_plan import EditPlan, origin
from expunge.engine.spec import EditSpec
from expunge.engine.text.name_collisions import check_apart

TRAINERS: dict[str, Trainer] = discover(__name__, "TRAINER")

HERE = Path(__file__).parent
CODE = sorted(HERE.rglob("*.py"))

__all__ = ["TRAINERS", "Trainer", "train"]


def train(
    pipeline: Any,
    spec: EditSpec,
    report: Report = unheard,
    kept_in: Path | None = None,
    closed_form: ClosedForm = unplanned,
) -> EditPlan:
    """Fine-tune a copy of the UNet, or of the text encoder, by the editor that `spec` names.

    The pipeline is left as it was.

    All draws come from `spec.seed`. A processor trains on one thread, because many steps that round differently on two
    would end in other weights. Work in independent parts uses as many threads as there are. The plan's diagnostics give
    the `change` |D|/|W0| of each weight that was not all zero.

    Args:
        pipeline: the model.
        spec: the specification.
        report: called after each step.
        kept_in: the folder in which a killed training left its state, from which it goes on.
        closed_form: plans the edit at which a training may begin.
    Raises:
        SettingError, ConceptError, UnknownArchitecture: the specification or the model is unfit for this editor.
        EditError: the loss is no longer finite.
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
    copied = ["unet", *(own for own in trainer.further(settings) if getattr(pipeline, own, None) is not None)]
    for own in copied:
        part = copy.deepcopy(uncompiled(getattr(pipeline, own)))
        setattr(student, own, part.float().requires_grad_(False).eval())
    threads = torch.get_num_threads() if pipeline.unet.device.type == "cpu" else 1
    run = Run(_stopping(report), threads, _checkpoints(pipeline, spec, asdict(settings), kept_in), closed_form)
    with torch.enable_grad():
        steady(trainer.train)(pipeline, student, spec, settings, run)
    return _plan(pipeline, student, copied, spec, asdict(settings))


def _checkpoints(pipeline: Any, spec: EditSpec, settings: dict[str, Any], folder: Path | None) -> Checkpoints:
    """Return the checkpoints of this very training: these weights and encoders, this code, this kind of machine."""
    if folder is None:
        return Checkpoints()
    names = [f"unet.{plain_name(own)}" for own, _ in uncompiled(pipeline.unet).named_parameters()]
    machine = [torch.__version__, pipeline.unet.device.type, torch.backends.cpu.get_cpu_capability()]
    inputs = {
        "spec": spec.digest,
        "settings": settings,
        "machine": machine,
        "code": {str(path.relative_to(HERE)): file_digest(path) for path in CODE},
    }
    return Checkpoints(folder).of(**inputs, **origin(pipeline, names))


def _stopping(report: Report) -> Report:
    def checked(step: Step) -> None:
        if step.loss is not None and not math.isfinite(step.loss):
            raise EditError("unet", f"the loss is {step.loss} at step {step.done}; lower the rate")
        report(step)

    return checked


@torch.no_grad()
def _plan(pipeline: Any, student: Any, copied: Sequence[str], spec: EditSpec, settings: dict[str, Any]) -> EditPlan:
    deltas, diagnostics = {}, {}
    for name, weight, trained in _pairs(pipeline, student, copied):
        before = weight.cpu().double()  # moved first: not every device has float64
        change = (trained.cpu().double() - before).float()
        if change.any():
            if not change.isfinite().all():
                raise EditError(name, "not finite after training; lower the rate")
            deltas[name] = change
            ratio = (change.double().norm() / before.norm()).item()
            diagnostics[name] = {"change": float(f"{ratio:.6g}")} if math.isfinite(ratio) else {}
    record = {"editor": spec.editor, "settings": settings, "diagnostics": diagnostics}
    return EditPlan(deltas, spec.digest, **origin(pipeline, deltas), **record)


def _pairs(pipeline: Any, student: Any, copied: Sequence[str]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield each weight of the copied components with its name in a pipeline, as it was and as it is trained."""
    for component in copied:
        trained = dict(getattr(student, component).named_parameters())
        for own, weight in uncompiled(getattr(pipeline, component)).named_parameters():
            yield f"{component}.{plain_name(own)}", weight, trained[own]
