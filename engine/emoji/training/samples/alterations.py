"""Altered pictures: parts hidden, other colours, blends of two, and pictures of nothing, for the second judge.

All are float tensors [n, 3, side, side] in [-1, 1], white being 1, and every draw comes from the generator it is given.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GREY = torch.tensor([0.299, 0.587, 0.114])
AXIS = torch.full((3,), 3**-0.5)  # hues turn around the grey axis


class Draws:
    """Uniform draws for n pictures, shaped to multiply them."""

    def __init__(self, n: int, generator: torch.Generator) -> None:
        self.n, self.generator = n, generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(self.n, *shape, generator=self.generator)

    def chosen(self, share: float, *shape: int) -> Tensor:
        """Draw which pictures are chosen, bool [n, ...], each with the chance `share`."""
        return torch.rand(self.n, *shape, generator=self.generator) < share


def moved(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror, shear, stretch, turn and shift each picture by its own draw."""
    draws = Draws(len(batch), generator)
    turn, shear = draws.uniform(-0.2, 0.2), draws.uniform(-0.15, 0.15)
    across, down = 1 / draws.uniform(0.65, 1.12), 1 / draws.uniform(0.65, 1.12)
    mirror = torch.where(draws.chosen(0.5), -1.0, 1.0)
    matrix = torch.zeros(len(batch), 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = mirror * across * turn.cos(), across * (shear - turn.sin())
    matrix[:, 1, 0], matrix[:, 1, 1] = mirror * down * turn.sin(), down * turn.cos()
    matrix[:, :, 2] = draws.uniform(-0.15, 0.15, 2)
    grid = F.affine_grid(matrix, list(batch.shape), align_corners=False)
    return F.grid_sample(batch - 1, grid, align_corners=False) + 1


def recoloured(batch: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Turn the hue of each picture by `hue` [n], in radians, and multiply its saturation by `saturation` [n]."""
    cos, sin = hue.cos()[:, None, None], hue.sin()[:, None, None]
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) * 3**-0.5
    turned = cos * torch.eye(3) + sin * cross + (1 - cos) * torch.outer(AXIS, AXIS)
    grey = GREY.expand(3, 3)
    mixed = saturation[:, None, None] * turned + (1 - saturation[:, None, None]) * grey
    return torch.einsum("nij,njhw->nihw", mixed, batch).clamp(-1, 1)


def hidden(batch: Tensor, share: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Cover one rectangle of each picture, of an area drawn between the `share`s, with white, a colour or noise."""
    n, _, side, _ = batch.shape
    draws = Draws(n, generator)
    area, ratio = draws.uniform(*share), draws.uniform(-0.7, 0.7).exp()
    high, wide = (area * ratio).sqrt().clamp(max=0.9), (area / ratio).sqrt().clamp(max=0.9)
    top, left = draws.uniform(0, 1) * (1 - high), draws.uniform(0, 1) * (1 - wide)
    at = (torch.arange(side) + 0.5) / side
    rows = (at >= top[:, None]) & (at < (top + high)[:, None])
    columns = (at >= left[:, None]) & (at < (left + wide)[:, None])
    inside = (rows[:, :, None] & columns[:, None, :])[:, None]
    colour = torch.where(draws.chosen(0.5, 1, 1, 1), torch.ones(3, 1, 1), draws.uniform(-1, 1, 3, 1, 1))
    grain = 0.5 * draws.chosen(0.2, 1, 1, 1) * torch.randn(batch.shape, generator=generator)
    return torch.where(inside, (colour + grain).clamp(-1, 1), batch)


def blended(batch: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Mix each picture with another one; `share` [n] is what is left of it."""
    share = share[:, None, None, None]
    return share * batch + (1 - share) * other


def worn(batch: Tensor, generator: torch.Generator, noise: float = 0.12) -> Tensor:
    """Blur, dim and noise each picture a little, by its own draw."""
    draws = Draws(len(batch), generator)
    soft = F.avg_pool2d(F.pad(batch, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    blur = draws.uniform(-0.5, 1, 1, 1, 1).clamp(min=0)
    dimmed = (batch + blur * (soft - batch)) * draws.uniform(0.8, 1.0, 1, 1, 1) + draws.uniform(-0.1, 0.1, 1, 1, 1)
    grain = torch.randn(batch.shape, generator=generator) * draws.uniform(0, noise, 1, 1, 1)
    return (dimmed + grain).clamp(-1, 1)


def scattered(batch: Tensor, tiles: int, generator: torch.Generator) -> Tensor:
    """Cut each picture into `tiles` x `tiles` and lay them down in a drawn order: all colours, nothing to recognise."""
    n, channels, side, _ = batch.shape
    edge = side // tiles
    cut = F.unfold(batch, edge, stride=edge)
    order = torch.rand(n, 1, tiles * tiles, generator=generator).argsort(-1).expand_as(cut)
    return F.fold(cut.gather(2, order), (side, side), edge, stride=edge).reshape(n, channels, side, side)


def clouds(n: int, side: int, generator: torch.Generator) -> Tensor:
    """Draw coloured noise of many grains: each picture of one size of blobs, from single pixels to a quarter."""
    made = []
    for _ in range(n):
        grain = int(2 ** (torch.rand(1, generator=generator) * math.log2(side / 3)))
        coarse = torch.randn(1, 3, max(2, side // max(1, grain)), max(2, side // max(1, grain)), generator=generator)
        made.append(F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False))
    strength, light = Draws(n, generator).uniform(0.2, 1, 1, 1, 1), Draws(n, generator).uniform(-0.3, 0.9, 1, 1, 1)
    return (strength * torch.cat(made) + light).clamp(-1, 1)
