"""An edit that is exported, and whether two pipelines are one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from expunge.engine.models.load import open_model
from expunge.engine.plans.edit_plan import EditPlan, apply
from expunge.engine.spec import EditSpec, Retain, Target

SPEC = EditSpec((Target("cat", ("cat",)),), (Retain("dog", ("dog",)),), editor="uce")


def weights(pipeline: Any) -> dict[str, torch.Tensor]:
    parts = [name for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)]
    return {f"{part}.{name}": w for part in parts for name, w in getattr(pipeline, part).state_dict().items()}


def same(one: Any, other: Any) -> None:
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name, weight in left.items():
        assert torch.equal(weight, right[name]), name


def edited(base: Path, made: EditPlan) -> Any:
    pipeline = open_model(base)
    apply(pipeline, made)
    return pipeline
