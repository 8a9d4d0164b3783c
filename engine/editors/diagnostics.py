"""The effect of one matrix's change on the tokens that it was planned on, from their moments alone."""

from __future__ import annotations

from torch import Tensor

from expunge.engine.editors import ConceptEmbeddings
from expunge.engine.linalg import product, ratio, total


def diagnosed(weight: Tensor, change: Tensor, concepts: ConceptEmbeddings) -> dict[str, float]:
    """Return `change` |D|/|W|, `residual` and `drift` of W and D [d_out, d] in float64, to six digits.

    Residual is sum |(W + D) x - W y|^2 over targets x with anchors y, divided by what it is without D. Drift is sum |D
    k|^2 over sum |W k|^2 of what is kept. With M the moments, sum |W x|^2 = <W^T W, M>, so three products serve all
    sums.
    """
    targets, kept = concepts.targets, concepts.retain.gram + concepts.general.gram
    own, mixed, moved = product(weight, weight), product(weight, change), product(change, change)
    before = _inner(targets.gram - targets.cross - targets.cross.T + targets.anchor, own)
    remaining = before + 2 * _inner(targets.gram - targets.cross, mixed) + _inner(targets.gram, moved)
    return {
        "change": ratio(change.norm(), weight.norm()),
        "residual": ratio(remaining, before),
        "drift": ratio(_inner(kept, moved), _inner(kept, own)),
    }


def _inner(one: Tensor, other: Tensor) -> Tensor:
    return total(one * other)
