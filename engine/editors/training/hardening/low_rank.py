"""Low-rank training (LoRA, arXiv 2106.09685): each matrix and kernel learns a product of two thin ones beside it.

What is trained is then small, and so are its gradients and what Adam remembers of it; the weight itself stands still.
At the end the product is added to the weight, so the edit is like any other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Adds `up` [out, rank] times `down` [rank, in] to a weight [out, ...]; nothing at first, as `up` is zero."""

    def __init__(self, weight: Tensor, rank: int, draws: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        down = torch.randn(rank, columns, generator=draws) / columns**0.5
        self.down = nn.Parameter(down.to(weight.device))
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight).to(weight.dtype)


def add_low_rank(network: nn.Module, rank: int, draws: torch.Generator, only: str = "") -> list[nn.Parameter]:
    """Put a product beside the weights of the linear and convolutional layers whose names have `only` in them.

    It returns the products' parameters.
    """
    named = [(f"{name}.", part) for name, part in network.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    layers = [part for name, part in named if only in name]
    made: list[nn.Parameter] = []
    for layer in layers:
        product = LowRank(layer.weight, min(rank, *layer.weight.flatten(1).shape), draws)
        parametrize.register_parametrization(layer, "weight", product)
        made += [product.up, product.down]
    return made


def fold_low_rank(network: nn.Module) -> None:
    """Add each product to its weight for good."""
    for part in list(network.modules()):
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
