"""Closed form on the layers of larger models: `python -m benchmarks.speed --part layers` runs it.

The sizes are those of the real diffusers classes, built without memory: of Stable Diffusion 1.5 and XL all key and
value matrices of the cross-attention, of FLUX.1 the embedder by which all of T5's tokens enter. Numbers are random, and
so are the states of the names' tokens, every token that the encoder reads: what is timed is a plan without its encoder,
tokens into moments and the editor.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from torch import Tensor, nn

from benchmarks.common.page import table
from benchmarks.timing.plans import settings, settle
from expunge.engine.editors import editor_named, settings_for
from expunge.engine.editors.base import ConceptEmbeddings, Moments, Rows
from expunge.engine.families.sd import KINDS

SUBJECT = 2  # the place of a name's last token
BLOCK = 16  # names added up at a time
XL: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
}


@dataclass(frozen=True)
class Layers:
    """The matrices that text feeds, by name, [d_out, d] each, and how many tokens of width d a prompt has."""

    model: str
    shapes: dict[str, tuple[int, int]]
    tokens: int

    @property
    def width(self) -> int:
        return next(iter(self.shapes.values()))[1]

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self.shapes.values())


def models() -> list[Layers]:
    with torch.device("meta"):
        return [
            Layers("SD 1.5", _fed(UNet2DConditionModel(cross_attention_dim=768), tuple(KINDS)), 77),
            Layers("SDXL", _fed(UNet2DConditionModel(**XL), tuple(KINDS)), 77),
            Layers("FLUX.1", _fed(FluxTransformer2DModel(), ("context_embedder",)), 512),
        ]


def _fed(denoiser: nn.Module, endings: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    found = ((name, module) for name, module in denoiser.named_modules() if name.endswith(endings))
    return {name: tuple(module.weight.shape) for name, module in found}  # type: ignore[union-attr,arg-type,misc]


def concepts(layers: Layers, count: int, device: str) -> tuple[ConceptEmbeddings, float]:
    """`count` names that become the empty prompt, and the seconds in which their tokens became moments."""
    draws = torch.Generator().manual_seed(0)
    empty = torch.randn(layers.tokens, layers.width, generator=draws).to(device)
    names = torch.randn(count, layers.tokens, layers.width, generator=draws).to(device)
    nothing = moments = Moments.zero(layers.width, device)
    settle(device)
    start = time.perf_counter()
    for block in names.split(BLOCK):
        moments += Moments.of(block.flatten(0, 1), empty.repeat(len(block), 1))
    settle(device)
    seconds = time.perf_counter() - start
    subjects, neutral = names[:, SUBJECT], empty[SUBJECT].expand(count, -1)
    owner = torch.arange(count, device=device)
    nobody = Rows(subjects[:0], torch.zeros(0, dtype=torch.float64, device=device))
    gathered = ConceptEmbeddings(
        moments, nothing, nothing, subjects, neutral, owner, subjects[:0], empty=empty, kept=nobody
    )
    return gathered, seconds


def seconds(layers: Layers, editor: str, count: int, device: str) -> float:
    """Time the closed form of one plan; of MPS, which has no float64, on the processor, as the engine does it."""
    device = "cpu" if device.startswith("mps") else device
    draws = torch.Generator().manual_seed(1)
    weights: dict[str, Tensor] = {
        name: (torch.randn(shape, generator=draws) / layers.width**0.5).to(device)
        for name, shape in layers.shapes.items()
    }
    kinds = {name: next((kind for end, kind in KINDS.items() if name.endswith(end)), "value") for name in weights}
    chosen = editor_named(editor)
    own = settings_for(chosen, settings(editor))
    gathered, spent = concepts(layers, count, device)
    start = time.perf_counter()
    chosen.plan({name: weight.double() for name, weight in weights.items()}, kinds, gathered, own)
    settle(device)
    return spent + time.perf_counter() - start


def report(editors: Sequence[str], count: int, device: str) -> str:
    """Return a table of the editors that need no token by itself."""
    editors = [editor for editor in editors if not editor_named(editor).settings.one_by_one]
    lines = []
    for layers in models():
        size = [layers.model, str(len(layers.shapes)), f"{layers.rows} x {layers.width}", str(layers.tokens)]
        lines.append([*size, *(f"{seconds(layers, editor, count, device):.2f}" for editor in editors)])
    header = ["layers of", "matrices", "rows x width", "tokens", *(f"{editor}, s" for editor in editors)]
    return (
        f"Closed form of {count} concepts, all their tokens, on layers of other models' size:\n\n{table(header, lines)}"
    )
