"""The right sides of ScaPre's released scripts, sum_k m_k sum_t (W0 y_t) x_t^T, over many concepts.

Nearly every row of a matrix distinguishes a concept from the empty prompt as well as is possible, so most rows share
one value of its mask. For that value tokens are summed for all rows at once, and those that become the same anchor
token before any product. Only the rows of another value go through a concept's tokens by themselves. This is exact
whatever the masks are. Where concepts become so many anchors that hardly a token shares one, every row goes through
every token, which is no more work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from expunge.engine.editors.base import Tokens
from expunge.engine.linalg import add_product, times


@dataclass(frozen=True)
class Batch:
    """The tokens of a run of concepts.

    `x` [n, d] are the tokens and `owner` [n] the concept of each. Each becomes an anchor token, `anchors` [a, d] at
    `partner` [n].
    """

    x: Tensor
    owner: Tensor
    anchors: Tensor
    partner: Tensor

    @classmethod
    def of(cls, tokens: Tokens, concepts: range, basis: Tensor, like: Tensor) -> Batch:
        """Return the batch of these concepts, with `x` in `basis`, multiplied in float64."""
        bounds = torch.tensor([concepts.start, concepts.stop], device=tokens.wording.device)
        first, past = torch.searchsorted(tokens.wording, bounds).tolist()
        used, partner = tokens.partner[first:past].unique(return_inverse=True)
        x = times(tokens.x[first:past].double(), basis).to(like)
        return cls(x, tokens.wording[first:past] - concepts.start, tokens.anchors[used].to(like), partner)


def add_masked(values: Tensor, rows: Tensor, sizes: Sequence[int], masks: Sequence[Tensor], batch: Batch) -> None:
    """Add the batch's sum to `values` [r, d], for the `rows` [r, d].

    The rows are those of matrices of `sizes`, one below the other, with `masks` [size, m].
    """
    if len(batch.anchors) > rows.shape[1]:
        add_all(values, rows, sizes, masks, batch)
        return
    common = torch.stack([mask.median(0).values for mask in masks])  # a value that more than half share is the median
    moved_to = times(rows, batch.anchors.T)
    for part, became, sums in zip(values.split(sizes), moved_to.split(sizes), _by_anchor(common, batch), strict=True):
        add_product(part, became.T, sums)
    rest = torch.cat([mask - shared for mask, shared in zip(masks, common, strict=True)])
    for k, column in enumerate(rest.unbind(1)):
        own, odd = (batch.owner == k).nonzero()[:, 0], column.nonzero()[:, 0]
        became = moved_to[odd[:, None], batch.partner[own]] * column[odd, None]
        values.index_add_(0, odd, times(became, batch.x[own]))


def add_all(values: Tensor, rows: Tensor, sizes: Sequence[int], masks: Sequence[Tensor], batch: Batch) -> None:
    """Add what `add_masked` adds, with every row going through every token."""
    for part, weight, mask in zip(values.split(sizes), rows.split(sizes), masks, strict=True):
        became = times(batch.anchors, weight.T)[batch.partner].mul_(mask.T[batch.owner])
        add_product(part, became, batch.x)


def _by_anchor(common: Tensor, batch: Batch) -> Tensor:
    """Return sums [j, a, d]: for each of `common` [j, m], c_k x_t over the tokens that become one anchor token."""
    sums = batch.x.new_empty(len(common), *batch.anchors.shape)
    for place in range(len(batch.anchors)):
        of = (batch.partner == place).nonzero()[:, 0]
        sums[:, place] = times(common[:, batch.owner[of]], batch.x[of])
    return sums
