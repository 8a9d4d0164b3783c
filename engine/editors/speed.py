"""SPEED (Li et al., ICLR 2026, arXiv 2503.07392): UCE by a change that what is retained cannot feel.

    min over D of  mean |(W0 + D) c - W0 a|^2 + r |D|^2   with  D N_0 = 0  and  D k_2 = 0

over targets c with anchors a (equation 4). N_0 are the directions which the retained embeddings speak: the eigenvectors
of their mean k k^T with eigenvalues of at least `threshold`. k_2 are invariants held exactly (Invariant Equality
Constraints): the start of text and what is common to the padding of the empty prompt.

With F [d, f] an orthonormal basis of the directions left free by both, D = D_F F^T and

    D = W0 (C - S) F (F^T S F + r I)^-1 F^T,   S = mean c c^T,   C = mean a c^T,

which is the published formula with its projector P and its multipliers Q taken into one basis: the same minimiser, by
a symmetric system that is never singular, and one [d, d] matrix for the whole model.

- Directed Prior Augmentation draws copies of every retained k along v, the direction of the smallest singular value of
  W0, which add nothing to the mean of k k^T but a multiple of v v^T. Its expectation is taken instead of the draw: each
  matrix holds its own v as well, a change of rank one.
- Influence-based Prior Filtering, which drops retained concepts that the unrestricted edit moves less than the average,
  needs retained embeddings one by one where only their moments are kept, and is left out, as in the published commands
  for ten concepts and more. So is the draw's filter by the same measure.
- For the padding the published code takes three centres of a k-means of random start; here it is the three leading
  singular directions, which are the same subspace when the clusters are tight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.editors.base import ConceptEmbeddings, Editor, Settings, reads_words
from engine.errors import EditError
from engine.linalg import diagonalise, eigh, eye, svd, times

PADDING_DIRECTIONS = 3
NOTHING = 1e-12


@dataclass(frozen=True)
class SpeedSettings(Settings):
    """`params` the matrices edited, `threshold` below which a direction of the retained is free, `retain_scale` r,
    `augment` whether v is held, `invariants` whether k_2 are, and `general`, the weight of the vocabulary's own words.

    The defaults are the published ones for few concepts; for ten and more the authors take threshold 0.0001 and r 0.05.
    """

    tokens: str = field(default="last", metadata={"choices": ("all", "tail", "last")})
    bare: bool = True
    general_words: int = 0
    params: str = field(default="value", metadata={"choices": ("value", "key", "both")})
    threshold: float = 0.1
    retain_scale: float = 1.0
    augment: bool = True
    invariants: bool = True
    general: float = 0.0

    def __post_init__(self) -> None:
        reads_words(self.general, self.general_words)


def plan(
    weights: Mapping[str, Tensor], kinds: Mapping[str, str], concepts: ConceptEmbeddings, settings: SpeedSettings
) -> dict[str, Tensor]:
    targets = concepts.targets
    wanted = _mean(targets.cross - targets.gram, targets.mass)
    inverse = _inverse(free_directions(concepts, settings), _mean(targets.gram, targets.mass), settings.retain_scale)
    change = wanted @ inverse
    edited = {name: weight for name, weight in weights.items() if settings.params in ("both", kinds[name])}
    if not settings.augment:
        return {name: weight @ change for name, weight in edited.items()}
    return {name: weight @ _holding(weakest(weight), change, wanted, inverse) for name, weight in edited.items()}


def free_directions(concepts: ConceptEmbeddings, settings: SpeedSettings) -> Tensor:
    """F [d, f]: orthonormal, and orthogonal to all that is held. EditError if nothing is left."""
    kept = _mean(concepts.retain.gram, concepts.retain.mass)
    kept = kept + settings.general * _mean(concepts.general.gram, concepts.general.mass)
    values, vectors = eigh((kept + kept.T) / 2)
    rounding = torch.finfo(torch.float64).eps * len(values) * values[-1].item()
    free = vectors[:, values < max(settings.threshold, rounding)]
    if settings.invariants and concepts.empty is not None:
        free = _orthogonal_to(free, invariants(concepts.empty))
    if not free.shape[1]:
        raise EditError("shared system", "what is retained leaves no direction free; raise threshold")
    return free


def invariants(empty: Tensor) -> Tensor:
    """k_2 [k, d] of the empty prompt [T, d]: the start of text, then the leading directions of all that follows."""
    _, sizes, directions = svd(empty[1:].double(), full_matrices=False)
    told = directions[:PADDING_DIRECTIONS][sizes[:PADDING_DIRECTIONS] > NOTHING]  # Wan's padding is all zeros
    return torch.cat([empty[:1].double(), told])


def weakest(weight: Tensor) -> Tensor:
    """v [d]: the right singular vector of the smallest singular value of a weight [d_out, d]."""
    _, _, directions = svd(weight, full_matrices=False)
    return directions[-1]


def _orthogonal_to(free: Tensor, rows: Tensor) -> Tensor:
    """An orthonormal basis of what of `free` [d, f] is orthogonal to `rows` [k, d]."""
    spoken = times(free.T, rows.T) / rows.norm(dim=1)
    directions, sizes, _ = svd(spoken, full_matrices=True)
    return free @ directions[:, int((sizes > NOTHING).sum()) :]


def _inverse(free: Tensor, spread: Tensor, ridge: float) -> Tensor:
    """F (F^T S F + r I)^-1 F^T, [d, d]."""
    identity = eye(free.shape[1], free)
    pencil = diagonalise(ridge * identity, free.T @ spread @ free, held_by="retain_scale")
    return pencil.solve(free) @ free.T


def _holding(direction: Tensor, change: Tensor, wanted: Tensor, inverse: Tensor) -> Tensor:
    """The change under one constraint more, that it has no effect on `direction` [d]."""
    felt = times(inverse, direction)
    share = times(direction, felt)
    if share <= NOTHING * inverse.diagonal().sum():
        return change
    return change - torch.outer(times(wanted, felt), felt) / share


def _mean(total: Tensor, mass: float) -> Tensor:
    return total / mass if mass else total


EDITOR = Editor("speed", SpeedSettings, plan)
