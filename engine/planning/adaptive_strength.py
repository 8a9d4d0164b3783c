"""`strength: auto`: more for targets that are hard to erase and less for easy ones, so that as much is left of each.

At one strength for all, what is left of a target depends on how close it lies to what is kept. The retained look-alikes
and the model's own words hold the directions that they share with the target, and other targets pull at these too. What
is left is measured in projection space, where it counts. Over the rows x of a target with anchors y and all matrices
W0, edited to W by a first plan with one strength,

    left = sum |W x - W0 y|^2 / sum |W0 x - W0 y|^2,     strength = s (left / geometric mean of left)^1.5,

within a factor of 8 of s and scaled to the geometric mean s. On the built-in model, near s, the energy left falls like
the strength to a power of about -0.4. The exponent is well below the inverse, so that no target overshoots.
`docs/method/choice-of-settings.md` has what this was measured to do, and what does not show how hard a target is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.base import Moments, Settings
from expunge.engine.linalg import product, times
from expunge.engine.planning.concept_embeddings import Reader
from expunge.engine.spec import EditSpec

EXPONENT = 1.5
FURTHEST = 8.0


def adapted_targets(
    pipeline: Any,
    spec: EditSpec,
    settings: Settings,
    streams: Sequence[int],
    weights: Mapping[str, Tensor],
    changes: Mapping[str, Tensor],
) -> Moments:
    """Return the targets' moments, each target weighed by what the first plan, `changes` of `weights`, leaves of it.

    Targets are read twice more, block by block, so that memory does not grow with them.
    """
    readers = [Reader.of(pipeline, settings, stream) for stream in streams]
    strengths = balanced(remaining_energy(readers, spec, Metrics.of(weights, changes)))
    parts = (block.moments(strengths) for reader in readers for block in reader.target_blocks(spec))
    return functools.reduce(Moments.__add__, parts)


def remaining_energy(readers: Sequence[Reader], spec: EditSpec, metrics: Metrics) -> Tensor:
    """Return the share of each target's energy over its anchors that is left of it, [targets]."""
    energies = torch.zeros(len(spec.targets), 2, dtype=torch.float64)  # on a CPU, because a GPU adds in any order
    for block in (block for reader in readers for block in reader.target_blocks(spec)):
        own = metrics.energies(*block.pairs()) * block.weights()[:, None]
        energies.index_add_(0, block.owners().cpu(), own.cpu())
    return (energies[:, 0] / energies[:, 1].clamp_min(1e-300)).to(metrics.before.device)


def balanced(remaining: Tensor) -> Tensor:
    """Return strengths of geometric mean 1 for targets of which the shares `left` [targets] are left at strength 1.

    Before they are centred again, none is further than `FURTHEST` from the mean.
    """
    logs = EXPONENT * remaining.clamp_min(1e-12).log()
    logs = (logs - logs.mean()).clamp(-math.log(FURTHEST), math.log(FURTHEST))
    return (logs - logs.mean()).exp()


@dataclass(frozen=True)
class Metrics:
    """sum W0^T W0, sum W0^T W and sum W^T W over matrices, [d, d]: all that the energies of many rows need of them."""

    before: Tensor
    between: Tensor
    after: Tensor

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], changes: Mapping[str, Tensor]) -> Metrics:
        pairs = [(weights[name], weights[name] + change) for name, change in changes.items()]
        sums = ([product(left, right) for left, right in ((a, a), (a, b), (b, b))] for a, b in pairs)
        return cls(*(torch.stack(part).sum(0) for part in zip(*sums, strict=True)))

    def energies(self, x: Tensor, y: Tensor) -> Tensor:
        """Return |W x - W0 y|^2 and |W0 x - W0 y|^2 of rows x, y [n, d], as [n, 2]."""
        x, y = x.double(), y.double()
        anchor = (times(y, self.before) * y).sum(1)
        remaining = (times(x, self.after) * x).sum(1) - 2 * (times(y, self.between) * x).sum(1) + anchor
        apart = x - y
        return torch.stack([remaining.clamp_min(0), (times(apart, self.before) * apart).sum(1)], 1)
