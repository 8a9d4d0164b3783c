"""What the released scripts of ScaPre measure of each row of a matrix, for all rows and concepts at once.

The scripts draw noise anew for every matrix; here a draw serves all matrices, so that one seed gives one plan.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.digests import json_digest
from engine.linalg import times

EPS = 1e-8  # added where the scripts add it
COPIES = 5
MASK_TEMPERATURE = 0.7
NOTHING = 1e-20  # a smaller mask is none: times an activation it is subnormal, which makes sums take twice the time
ROWS, SAMPLES = 256, 2**11  # whose activations are taken, and counted, at a time: these stay in the cache


def noise(use: str, seed: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal draws, the same for the same use and seed on every device and in every precision."""
    name = json_digest(["scapre-released", use, seed])
    generator = torch.Generator().manual_seed(int(name[:15], 16))
    return torch.randn(shape, generator=generator).to(like)


def row_entropy(weight: Tensor, samples: Tensor, bins: int) -> Tensor:
    """H [d_out], in units of log `bins`, of each row's activations by `samples` [n, d] in their range."""
    return torch.cat([_entropy(part @ samples.T, bins) for part in weight.split(ROWS)])


def _entropy(activations: Tensor, bins: int) -> Tensor:
    low, high = activations.aminmax(dim=1, keepdim=True)
    counts = torch.zeros(len(activations), bins, dtype=activations.dtype, device=activations.device)
    for part in activations.split(SAMPLES, dim=1):
        places = ((part - low) / (high - low + EPS) * bins).long().clamp_(0, bins - 1)
        counts.scatter_add_(1, places, torch.ones_like(part))
    share = counts / (activations.shape[1] + EPS)
    return -(share * (share + EPS).log()).sum(1) / math.log(bins)


def mask_samples(subjects: Tensor, empty: Tensor, drawn: Tensor) -> Tensor:
    """`COPIES` of each of `subjects` [m, d], then of `empty` [d], plus `drawn` [2, m, COPIES, d]: [m, 2 COPIES, d]."""
    return torch.cat([subjects[:, None] + drawn[0], empty + drawn[1]], 1)


def soft_masks(weight: Tensor, samples: Tensor, exponent: float) -> Tensor:
    """[d_out, ...]: for `samples` [..., 2 COPIES, d], sigmoid(z / 0.7)^p of the rows' mutual information z-scored.

    It is taken between a row's activation, above its median or not, and the label concept or empty.
    """
    activations = times(weight, samples.flatten(0, -2).T).view(len(weight), *samples.shape[:-1])
    above = activations > activations.median(-1, keepdim=True).values
    count = torch.arange(COPIES + 1)
    nats = mutual_information(count[:, None], count).to(weight)
    information = nats[above[..., :COPIES].sum(-1), above[..., COPIES:].sum(-1)]
    scores = (information - information.mean(0)) / (information.std(0) + EPS)
    return torch.nn.functional.threshold(torch.sigmoid(scores / MASK_TEMPERATURE) ** exponent, NOTHING, 0.0)


def mutual_information(told: Tensor, others: Tensor) -> Tensor:
    """Nats, in float64, of a pair of binary variables by how many of `COPIES` are above in either class."""
    above = torch.stack(torch.broadcast_tensors(told, others)).double()
    joint = (torch.stack([above, COPIES - above]) + EPS) / (2 * COPIES)  # above or not, concept or empty
    return (joint * (joint / (joint.sum(0) * joint.sum(1, keepdim=True))).log()).sum((0, 1))
