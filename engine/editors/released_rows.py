"""What the released scripts of ScaPre measure of each row of a matrix, for all rows and concepts at once.

The scripts draw noise anew for every matrix; here a draw serves all matrices, so that one seed gives one plan.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.digests import json_digest

EPS = 1e-8  # added where the scripts add it
COPIES = 5
MASK_TEMPERATURE = 0.7
ACTIVATIONS = 2**26  # at most so many in memory


def noise(use: str, seed: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal draws, the same for the same use and seed on every device and in every precision."""
    name = json_digest(["scapre-released", use, seed])
    generator = torch.Generator().manual_seed(int(name[:15], 16))
    return torch.randn(shape, generator=generator).to(like)


def row_entropy(weight: Tensor, samples: Tensor, bins: int) -> Tensor:
    """H [d_out], in units of log `bins`, of each row's activations by `samples` [n, d] in their range."""
    parts = weight.split(max(1, ACTIVATIONS // max(1, len(samples))))
    return torch.cat([_entropy(part @ samples.T, bins) for part in parts])


def _entropy(activations: Tensor, bins: int) -> Tensor:
    low, high = activations.aminmax(dim=1, keepdim=True)
    places = ((activations - low) / (high - low + EPS) * bins).long().clamp_(0, bins - 1)
    counts = torch.zeros(len(activations), bins, dtype=activations.dtype, device=activations.device)
    share = counts.scatter_add_(1, places, torch.ones_like(activations)) / (activations.shape[1] + EPS)
    return -(share * (share + EPS).log()).sum(1) / math.log(bins)


def soft_mask(weight: Tensor, subjects: Tensor, empty: Tensor, drawn: Tensor, exponent: float) -> Tensor:
    """m [d_out, m]: for each concept of `subjects` [m, d], sigmoid(z / 0.7)^p of the rows' mutual information z-scored.

    It is taken between a row's activation, above its median or not, and the label concept or `empty` [d], over
    `COPIES` of each with the noise `drawn` [2, m, COPIES, d] added.
    """
    told = weight @ (subjects[:, None] + drawn[0]).flatten(0, 1).T
    others = weight @ (empty + drawn[1]).flatten(0, 1).T
    shape = (len(weight), len(subjects), COPIES)
    both = torch.cat([told.view(shape), others.view(shape)], 2)
    above = both > both.median(2, keepdim=True).values
    information = mutual_information(above[..., :COPIES].sum(2), above[..., COPIES:].sum(2))
    information = information.to(weight.dtype)
    scores = (information - information.mean(0)) / (information.std(0) + EPS)
    return torch.sigmoid(scores / MASK_TEMPERATURE) ** exponent


def mutual_information(told: Tensor, others: Tensor) -> Tensor:
    """Nats, in float64, of a pair of binary variables by how many of `COPIES` are above in either class."""
    above = torch.stack([told, others]).double()
    joint = (torch.stack([above, COPIES - above]) + EPS) / (2 * COPIES)  # above or not, concept or empty
    return (joint * (joint / (joint.sum(0) * joint.sum(1, keepdim=True))).log()).sum((0, 1))
