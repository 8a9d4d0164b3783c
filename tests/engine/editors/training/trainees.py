"""Tiny models that heed their prompts, and edits that train them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.training.base import Report, Step, unheard
from expunge.engine.editors.training.denoiser import read
from expunge.engine.planning.make import make
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine import tiny

TARGETS = (Target("cat", ("cat",)), Target("car", ("car",), anchor="boat"))
RETAIN = (Retain("dog", ("dog",)), Retain("tree", ("tree",), kind="general"))
ESD = EditSpec(TARGETS, RETAIN, "esd", {"iterations": 40, "steps": 4, "rate": 3e-3, "batch": 2})
SALUN = EditSpec(
    TARGETS, RETAIN, "salun", {"pictures": 8, "steps": 4, "epochs": 10, "rate": 1e-3, "batch": 4, "beta": 1e-4}
)
HARDENED = EditSpec(
    TARGETS,
    RETAIN,
    "hardened",
    {
        "rounds": 2,
        "iterations": 3,
        "batch": 2,
        "pictures": 2,
        "bank": 8,
        "kept": 8,
        "steps": 2,
        "searchers": 2,
        "life": 2,
        "fresh": 0,
        "rate": 1e-3,
    },
)
GENTLE = {"pictures": 8, "steps": 2, "epochs": 10, "rate": 1e-4, "batch": 4, "parameters": "cross-attention"}


def listening(seed: int = 0) -> Any:
    """The tiny model, made to heed its prompt as a trained one does; at random weights it hardly would."""
    pipeline = tiny.pipeline(seed)
    with torch.no_grad():
        for name, weight in pipeline.unet.named_parameters():
            if name.endswith("attn2.to_out.0.weight"):
                weight *= 10
    return pipeline


def harden(pipeline: Any, spec: EditSpec, report: Report = unheard, kept_in: Path | None = None) -> EditPlan:
    """As planning makes it, which hands the closed form down."""
    return make(pipeline, spec, report, checkpoints=kept_in)


def noted(losses: list[float], step: Step) -> None:
    """What a trainer tells of each step, of which losses are kept."""
    if step.loss is not None:
        losses.append(step.loss)


@torch.no_grad()
def answer(pipeline: Any, noisy: Tensor, time: Tensor, name: str) -> Tensor:
    """What the UNet says of latents under a name, asked as its own class is."""
    states = read(pipeline, [name])["prompt_embeds"].expand(len(noisy), -1, -1)
    return pipeline.unet(noisy, time, encoder_hidden_states=states.to(pipeline.unet.dtype)).sample


def varied(spec: EditSpec, **settings: Any) -> EditSpec:
    """The same with these settings in place of its own."""
    return EditSpec(spec.targets, spec.retain, spec.editor, {**spec.settings, **settings})
