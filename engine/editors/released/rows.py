"""Measures of each row of a matrix by ScaPre's released scripts, for all rows and concepts at once.

The scripts draw noise anew for every matrix. Here one draw serves all matrices, so that one seed gives one plan.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from expunge.engine.files.digests import json_digest
from expunge.engine.linalg import times

EPS = 1e-8  # added in the same places as in the scripts
COPIES = 5
MASK_TEMPERATURE = 0.7
NOTHING = 1e-20  # a smaller mask is 0: times an activation it would be subnormal, and sums would take twice the time
ROWS, SAMPLES = 256, 2**11  # so many rows, and samples of them, are handled at a time: these stay in the cache


def noise(use: str, seed: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return standard normal draws, the same for the same use and seed on every device and in every precision."""
    name = json_digest(["scapre-released", use, seed])
    generator = torch.Generator().manual_seed(int(name[:15], 16))
    return torch.randn(shape, generator=generator).to(like)


def row_entropy(rows: Tensor, samples: Tensor, bins: int) -> Tensor:
    """Return the entropy H [r], in units of log `bins`, of each row's activations within their range.

    The activations are those of `rows` [r, d] by `samples` [d, n].
    """
    held = rows.new_empty(min(ROWS, len(rows)), samples.shape[1])
    return torch.cat([_entropy(times(part, samples, out=held[: len(part)]), bins) for part in rows.split(ROWS)])


def _entropy(activations: Tensor, bins: int) -> Tensor:
    """Return the entropy [r] of activations [r, n], which are overwritten.

    A new tensor at each step would cost more than the arithmetic.
    """
    low, high = activations.aminmax(dim=1, keepdim=True)
    counts, one = activations.new_zeros(len(activations), bins), torch.ones_like(activations[:, :SAMPLES])
    held = torch.empty_like(one, dtype=torch.long)
    for part in activations.split(SAMPLES, dim=1):
        places = held[:, : part.shape[1]].copy_(part.sub_(low).div_(high - low + EPS).mul_(bins)).clamp_(0, bins - 1)
        counts.scatter_add_(1, places, one)
    share = counts / (activations.shape[1] + EPS)
    return -(share * (share + EPS).log()).sum(1) / math.log(bins)


def mask_samples(subjects: Tensor, empty: Tensor, drawn: Tensor) -> Tensor:
    """Return noisy copies [d, 2 COPIES, m]: `COPIES` of each of `subjects` [m, d], then as many of `empty` [d].

    `drawn` [2, m, COPIES, d] is the noise.
    """
    return torch.cat([subjects[:, None] + drawn[0], empty + drawn[1]], 1).permute(2, 1, 0).contiguous()


def soft_masks(weight: Tensor, samples: Tensor, exponent: float) -> Tensor:
    """Return masks [d_out, m]: sigmoid(z / 0.7)^p of the rows' z-scored mutual information.

    `samples` are [d, 2 COPIES, m]. The information is between a row's activation, above its median or not, and the
    label, concept or empty. Nearly all rows reach the same largest value, so z-scores are taken in float64. Their mean
    in float32 misses that value by rounding, which divided by a standard deviation of zero would be a large score.
    """
    activations = times(weight, samples.flatten(1)).view(len(weight), 2, COPIES, -1)
    above = (activations > lower_median(activations)[:, None, None]).sum(2)
    count = torch.arange(COPIES + 1)
    nats = mutual_information(count[:, None], count).to(weight.device)
    information = nats[above[:, 0], above[:, 1]]
    scores = (information - information.mean(0)) / (information.std(0) + EPS)
    masks = torch.sigmoid(scores / MASK_TEMPERATURE) ** exponent
    return torch.nn.functional.threshold(masks.to(weight), NOTHING, 0.0)


def lower_median(activations: Tensor) -> Tensor:
    """Return the lower median [d_out, m] of `activations` [d_out, 2, k, m]: the k-th smallest of two times k.

    It is the least of max(a_i, b_k-i) of both in order. They are ordered by exchange, for all rows and concepts at
    once, because `torch.median` goes from one handful of numbers to the next.
    """
    ordered = list(activations.unbind(2))
    for end in range(len(ordered) - 1, 0, -1):
        for i in range(end):
            ordered[i : i + 2] = torch.minimum(*ordered[i : i + 2]), torch.maximum(*ordered[i : i + 2])
    a, b = ([both[:, side] for both in ordered] for side in (0, 1))
    middle = torch.minimum(a[-1], b[-1])
    for one, other in zip(a[:-1], reversed(b[:-1]), strict=True):
        middle = torch.minimum(middle, torch.maximum(one, other))
    return middle


def mutual_information(own: Tensor, others: Tensor) -> Tensor:
    """Return the mutual information, in nats and float64, of a pair of binary variables.

    The arguments are how many of `COPIES` are above in either class.
    """
    above = torch.stack(torch.broadcast_tensors(own, others)).double()
    joint = (torch.stack([above, COPIES - above]) + EPS) / (2 * COPIES)  # above or not, concept or empty
    return (joint * (joint / (joint.sum(0) * joint.sum(1, keepdim=True))).log()).sum((0, 1))
