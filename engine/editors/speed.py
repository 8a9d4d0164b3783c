"""SPEED (Li et al., ICLR 2026, arXiv 2503.07392): UCE by a change to which what is retained contributes nothing.

    min over D of  mean |(W0 + D) c - W0 a|^2 + r |D|^2   with  D N_0 = 0  and  D k_2 = 0

over targets c with anchors a (equation 4). N_0 are the directions of the retained embeddings: the eigenvectors of their
mean k k^T with eigenvalues of at least `threshold`. k_2 are invariants held exactly (Invariant Equality Constraints):
the start of text and what is common to the padding of the empty prompt.

With F [d, f] an orthonormal basis of the directions left free by both, D = D_F F^T and

    D = W0 (C - S) F (F^T S F + r I)^-1 F^T,   S = mean c c^T,   C = mean a c^T.

This is the published formula with its projector P and its multipliers Q taken into one basis: the same minimiser, by a
symmetric system that is never singular.

- Influence-based Prior Filtering: each matrix holds those of the retained that it would move by no less than their mean
  if nothing were retained, |Delta k| with Delta = W0 (C - S) (S + I)^-1. The published commands switch it off for ten
  concepts and more. Their comparison drops a concept that is retained alone, which is its own mean.
- Directed Prior Augmentation adds to every k ten copies k + z v, z drawn from a normal distribution and v the direction
  of the smallest singular value of W0. It keeps the copies that Delta moves by more than their mean. Here nothing is
  drawn: a hundred copies, z at the quantiles of the normal distribution, weigh a tenth each.
- For the padding the published code takes three centres of a k-means of random start. Here it is the three leading
  singular directions, which are the same subspace when the clusters are tight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.base import ConceptEmbeddings, Editor, Moments, Rows, Settings, reads_words
from expunge.engine.errors import EditError
from expunge.engine.linalg import eigh, eye, product, solve_ridged, svd, times, total

PADDING_DIRECTIONS = 3
COPIES, DRAWN = 10, 100
PUBLISHED: dict[str, dict[str, Any]] = {
    "few": {},
    "ten and more": {"threshold": 1e-4, "retain_scale": 0.05, "prior_filter": False},
}
"""The settings of the published commands, by the number of concepts, where they differ from the defaults."""
NOTHING = 1e-12


@dataclass(frozen=True)
class SpeedSettings(Settings):
    """Settings of SPEED.

    `params` are the matrices edited. Below `threshold` a direction of the retained is free. `retain_scale` is r.
    `prior_filter` says whether the retained are filtered by influence, `augment` whether copies are held beside them,
    and `invariants` whether k_2 are held. `general` is the weight of the vocabulary's own words, which are never
    filtered.

    The defaults are those of the published commands for few concepts.
    """

    tokens: str = field(default="last", metadata={"choices": ("all", "tail", "last")})
    bare: bool = True
    general_words: int = 0
    params: str = field(default="value", metadata={"choices": ("value", "key", "both")})
    threshold: float = 0.1
    retain_scale: float = 1.0
    prior_filter: bool = True
    augment: bool = True
    invariants: bool = True
    general: float = 0.0

    def __post_init__(self) -> None:
        reads_words(self.general, self.general_words)

    @property
    def lists_kept(self) -> bool:
        return self.prior_filter or self.augment


def plan(
    weights: Mapping[str, Tensor], kinds: Mapping[str, str], concepts: ConceptEmbeddings, settings: SpeedSettings
) -> dict[str, Tensor]:
    """Return the change of each weight that `params` names."""
    targets, count = concepts.targets, concepts.count * concepts.streams
    wanted, spread = (targets.cross - targets.gram) / count, targets.gram / count

    def change(layer: str, retain: Moments) -> Tensor:
        free = free_directions(layer, retain, concepts, settings)
        return times(wanted, _inverse(free, spread, settings.retain_scale))

    edited = {name: weight for name, weight in weights.items() if settings.params in ("both", kinds[name])}
    if not settings.lists_kept:
        alike = change("shared system", concepts.retain)
        return {name: times(weight, alike) for name, weight in edited.items()}
    unrestricted = times(wanted, _inverse(eye(len(wanted), wanted), spread, 1.0))
    return {
        name: times(weight, change(name, held(weight, times(weight, unrestricted), concepts.kept, settings)))
        for name, weight in edited.items()
    }


def held(weight: Tensor, moving: Tensor, kept: Rows | None, settings: SpeedSettings) -> Moments:
    """Return the moments of the retained rows that a weight is to hold, and of their copies.

    `moving` [d_out, d] is the weight's change if nothing is retained.
    """
    assert kept is not None, "the settings ask for them"
    rows = influenced(moving, kept) if settings.prior_filter else kept
    return with_copies(moving, rows, weakest(weight)) if settings.augment else Moments.of(rows.x, weights=rows.weight)


def influenced(moving: Tensor, kept: Rows) -> Rows:
    """Return the rows that `moving` [d_out, d] moves by no less than their mean."""
    moved = times(moving, kept.x.double().T).norm(dim=0)
    chosen = moved >= times(moved, kept.weight) / total(kept.weight) * (1 - NOTHING)
    return Rows(kept.x[chosen], kept.weight[chosen])


def with_copies(moving: Tensor, rows: Rows, direction: Tensor) -> Moments:
    """Return the moments of the rows and of those of their copies that `moving` moves by more than the mean copy.

    The copies lie along `direction` [d].
    """
    x, weight = rows.x.double(), rows.weight
    steps = quantiles(DRAWN).to(x)
    own, along = times(moving, x.T), times(moving, direction)
    squares = own.square().sum(0)[:, None] + 2 * times(own.T, along)[:, None] * steps + along.square().sum() * steps**2
    moved = squares.clamp(min=0).sqrt()
    mean = times(weight, moved.mean(1)) / total(weight)
    share = COPIES / DRAWN * weight[:, None] * (moved > mean)
    alone = Moments.of(x, weights=weight + share.sum(1))
    mixed = torch.outer(times(x.T, times(share, steps)), direction)
    gram = alone.gram + mixed + mixed.T + total(share * steps**2) * torch.outer(direction, direction)
    return Moments(gram, gram, gram, alone.mass)


def quantiles(count: int) -> Tensor:
    """Return `count` values in float64, the middles of as many parts of equal weight of the normal distribution."""
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.special.ndtri(middles)


def free_directions(layer: str, retain: Moments, concepts: ConceptEmbeddings, settings: SpeedSettings) -> Tensor:
    """Return F [d, f]: orthonormal, and orthogonal to all that is held.

    Raises:
        EditError: no direction is free.
    """
    kept = _mean(retain) + settings.general * _mean(concepts.general)
    values, vectors = eigh((kept + kept.T) / 2)
    rounding = torch.finfo(torch.float64).eps * len(values) * values[-1].item()
    free = vectors[:, values < max(settings.threshold, rounding)]
    if settings.invariants and concepts.empty is not None:
        free = _orthogonal_to(free, invariants(concepts.empty))
    if not free.shape[1]:
        raise EditError(layer, "what is retained leaves no direction free; raise threshold")
    return free


def invariants(empty: Tensor) -> Tensor:
    """Return k_2 [k, d] of the empty prompt [T, d]: the start of text, then the leading directions of the rest."""
    _, sizes, directions = svd(empty[1:].double(), full_matrices=False)
    main = directions[:PADDING_DIRECTIONS][sizes[:PADDING_DIRECTIONS] > NOTHING]  # Wan's padding is all zeros
    return torch.cat([empty[:1].double(), main])


def weakest(weight: Tensor) -> Tensor:
    """Return v [d]: the right singular vector of a weight's smallest singular value.

    A weight [d_out, d] has min(d_out, d) of these. For a weight that is all zeros it is zero. An eigenvector of W^T W,
    or of W W^T if that is smaller, is found two to three times as fast as singular vectors.
    """
    rows = weight.double()
    if len(rows) >= rows.shape[1]:
        return _last(rows)
    along = times(_last(rows.T), rows)
    return along / along.norm().clamp(min=torch.finfo(torch.float64).tiny)


def _last(rows: Tensor) -> Tensor:
    """Return the direction [d] in which rows [n, d] reach least."""
    return eigh(product(rows, rows)).eigenvectors[:, 0]


def _orthogonal_to(free: Tensor, rows: Tensor) -> Tensor:
    """Return an orthonormal basis of the part of the span of `free` [d, f] that is orthogonal to `rows` [k, d]."""
    spoken = times(free.T, rows.T) / rows.norm(dim=1)
    directions, sizes, _ = svd(spoken, full_matrices=True)
    return times(free, directions[:, int((sizes > NOTHING).sum()) :])


def _inverse(free: Tensor, spread: Tensor, ridge: float) -> Tensor:
    """Return F (F^T S F + r I)^-1 F^T, [d, d]."""
    solved = solve_ridged(times(times(free.T, spread), free), ridge, free.T, held_by="retain_scale")
    return times(free, solved)


def _mean(moments: Moments) -> Tensor:
    return moments.gram / moments.mass if moments.mass else moments.gram


EDITOR = Editor("speed", SpeedSettings, plan)
