"""An edit as a LoRA: every delta as a product B A of low rank, in a key layout that other programs' loaders read.

The deltas of `uce` and `speed` have at most as many directions as there are tokens to move, and those of `rece` a few
more. Factors hold them exactly. The other editors' deltas are of nearly full rank. Where the rank asked for is too
small, the singular value decomposition gives the nearest matrix of that rank (Eckart and Young, Psychometrika 1936).
Its distance from the edit is stated, layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.utils.state_dict_utils import convert_state_dict_to_kohya
from torch import Tensor
from torch.nn.functional import pad

from expunge.canonical_json import canonical_json
from expunge.engine.errors import EditError, SettingError
from expunge.engine.files.tensor_files import save_whole
from expunge.engine.linalg import svd
from expunge.engine.plans.edit_plan import EditPlan

EXACT = 1e-6
"""The relative error that float32 leaves: factors this near to a delta are exact."""

LAYOUTS = ("diffusers", "webui")
COMPONENTS = ("unet", "transformer")
POOLED, WEBUI_POOLED = "unet.add_embedding.linear_1", "unet.label_emb.0.0"
"""The layer that takes in Stable Diffusion XL's pooled vector. The webui layout uses the original model's name."""


@dataclass(frozen=True)
class Lora:
    """Factors by layer: `down` A [r, d] and `up` B [d_out, r], float32, for W + B A at strength 1.

    `errors` is |B A - D|_F / |D|_F of each layer as stored, `error` the same over all layers together; both to six
    digits. `plan` is the digest of the edit they stand for and `base` of the projections it was planned on.
    """

    down: Mapping[str, Tensor]
    up: Mapping[str, Tensor]
    errors: Mapping[str, float]
    error: float
    plan: str
    base: str

    @property
    def ranks(self) -> dict[str, int]:
        return {layer: len(factor) for layer, factor in self.down.items()}

    def tensors(self, layout: str = "diffusers") -> dict[str, Tensor]:
        """Return the factors under the names of a layout, all with the largest rank.

        `diffusers` has `unet.LAYER.lora_A.weight`. `webui` has `lora_unet_LAYER.lora_down.weight`, by the converter of
        diffusers.
        """
        if layout not in LAYOUTS:
            raise SettingError(f"LoRA layout {layout!r} does not exist; use one of {', '.join(LAYOUTS)}")
        own = {f"{layer}.lora_A.weight": factor for layer, factor in self.down.items()}
        own |= {f"{layer}.lora_B.weight": factor for layer, factor in self.up.items()}
        own = _evened(own)
        return own if layout == "diffusers" else _for_webui(own)

    def save(self, path: str | Path, layout: str = "diffusers") -> None:
        """Write the LoRA whole or not at all.

        Its error, ranks and digests are in the file's metadata under `expunge`.
        """
        record = {"plan": self.plan, "base": self.base, "error": self.error, "errors": self.errors, "ranks": self.ranks}
        text = canonical_json(record).decode()
        save_whole(self.tensors(layout), Path(path), {"format": "pt", "expunge": text})


@torch.no_grad()
def lora_of(plan: EditPlan, rank: int | None = None) -> Lora:
    """Return the plan's factors: of the least rank that holds each delta exactly, or of at most `rank`.

    Raises:
        EditError: names a parameter that a LoRA cannot hold, or that its loader would leave out silently.
        SettingError: the rank is below 1.
    """
    if rank is not None and rank < 1:
        raise SettingError(f"rank is {rank}; use a whole number from 1, or none for an exact LoRA")
    down, up, missed, whole = {}, {}, {}, {}
    for name, delta in plan.deltas.items():
        _check(name, delta)
        size = delta.double().norm().item()
        if size > 0:
            layer = name.removesuffix(".weight")
            up[layer], down[layer] = _factors(delta.double().cpu(), rank)
            missed[layer] = (up[layer].double() @ down[layer].double() - delta.double().cpu()).norm().item()
            whole[layer] = size
    if not down:
        raise EditError(next(iter(plan.deltas), "plan"), "the plan changes nothing, so there is no LoRA of it")
    errors = {layer: _rounded(missed[layer] / whole[layer]) for layer in missed}
    error = _rounded(_length(missed) / _length(whole))
    return Lora(down, up, errors, error, plan.digest, plan.base)


def _factors(delta: Tensor, rank: int | None) -> tuple[Tensor, Tensor]:
    """Return B [d_out, r] and A [r, d], the singular values shared evenly between them."""
    u, values, v = svd(delta, full_matrices=False)
    tail = values.square().flip(0).cumsum(0).flip(0).sqrt()  # the loss if only the directions before each are kept
    exact = int((tail > EXACT * tail[0]).sum())
    kept = exact if rank is None else min(rank, exact)
    root = values[:kept].sqrt()
    return (u[:, :kept] * root).float().contiguous(), (root[:, None] * v[:kept]).float().contiguous()


def _check(name: str, delta: Tensor) -> None:
    if delta.ndim != 2 or not name.endswith(".weight"):
        raise EditError(name, "a LoRA holds weights of linear layers only; export the full model or the delta")
    if name.split(".", 1)[0] not in COMPONENTS:
        raise EditError(name, f"`load_lora_weights` fills {' or '.join(COMPONENTS)} only; export the full model")


def _evened(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return all factors with as many directions as the largest has; the added ones are zeros.

    A layer's strength is alpha over its rank. When diffusers reads the webui layout, it applies the alpha of the
    commonest rank to every layer whose own it does not find by name. Its own layout holds no alpha, and older versions
    take one layer's rank for the alpha of all.
    """
    most = max(min(tensor.shape) for tensor in tensors.values())
    return {
        name: pad(tensor, (0, 0, 0, most - len(tensor)) if ".lora_A." in name else (0, most - tensor.shape[1]))
        for name, tensor in tensors.items()
    }


def _for_webui(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return convert_state_dict_to_kohya({_webui_name(name): tensor for name, tensor in tensors.items()})


def _webui_name(name: str) -> str:
    if name.startswith(f"{POOLED}."):
        return name.replace(POOLED, WEBUI_POOLED)
    if not (name.startswith("unet.") and ".attentions." in name):
        raise EditError(name, "the webui layout has no name for it; use the diffusers layout or the full model")
    return name


def _length(parts: Mapping[str, float]) -> float:
    return torch.tensor(list(parts.values()), dtype=torch.float64).norm().item()


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")
