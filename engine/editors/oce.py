"""OCE (Sun et al., ICML 2026, arXiv 2605.28902): value projections turned, W = R W0 with R a rotation.

A rotation keeps W^T W = W0^T W0. The size of every value and the angle between any two stay as they were, and only
their direction changes. R maximises tr(R^T M), M = - s E (I - A) + p sum v_k v_k^T + g W0 C_g W0^T + lam W0 W0^T:

- E and A project onto the span of the targets' values W0 c and of their anchors' W0 a. The first term is minus s sum_i
  e_i^T R (I - A) e_i over an orthonormal basis e of the former. The part of a target's value beyond its anchors' values
  is turned away from itself, and the part that it shares with them is left alone.
- The others are, but for constants, minus |R v - v|^2 over the values v of the retained, of generic text of mean second
  moment C_g, and of the embedding space as a whole.

It is an orthogonal Procrustes problem: M = U diag(m) V^T gives R = U V^T.

This is our reading where the paper's text or its code leaves a choice:

- All is done in the span of W0's columns, W0 = B T with orthonormal B [d_out, k], which no term of M leaves. Off that
  span R is undetermined and without effect.
- R must not reflect. Where B is square and det R < 0, the sign of the smallest m is turned, which costs the objective
  least. The released code turns R's last column, which no longer maximises the objective. Where B is not square, the
  reflection is compensated off the span of W0.
- Spans are of numerical rank, of names of equal size, so an anchor that many targets share counts once. The released
  code has one column for each target and takes all directions of their QR decomposition. Where an anchor repeats, these
  are completed by directions of rounding error, which are left alone as well. With as many targets as a value has
  numbers, nothing is turned at all. `anchor_span: columns` does as the released code does.
- The units of s, against p, g and lam, are those of the model's squared values. The defaults are those of the published
  command for an object of Stable Diffusion 1.4, and `PUBLISHED` has the others. The script's own (1, 0.3, 0.5, 1.5) are
  in none of them.
- C_g is of the vocabulary's own words, where the authors use the captions of COCO. As there, it is of every token
  before the padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from expunge.engine.editors.base import ConceptEmbeddings, Editor, Settings
from expunge.engine.errors import EditError
from expunge.engine.linalg import WORST_CONDITION, det, eye, qr, svd, times

RANK, COLUMNS = "rank", "columns"
_NAMES = {"expand_prompts": False}
SAME_DIRECTION = 1e-5  # relative, above the rounding of a float32 encoder
OF_WEIGHTS = 1e-6  # relative, above that of a float32 weight; its square is within the worst condition
PUBLISHED: dict[str, dict[str, Any]] = {
    "object": {},
    "style": {"erase_scale": 500.0, "preserve_concept_scale": 1.0},
    "10 persons": {**_NAMES, "erase_scale": 3500.0, "preserve_concept_scale": 5.0, "preserve_global_scale": 50.0},
    "50 persons": {**_NAMES, "erase_scale": 1500.0, "preserve_concept_scale": 2.5, "preserve_global_scale": 70.0},
    "100 persons": {**_NAMES, "erase_scale": 800.0, "preserve_concept_scale": 2.0, "preserve_global_scale": 70.0},
}
"""The settings of the published commands, where they differ from the defaults."""
EXPANDED = {
    "object": ("{}", *(f"{kind} of {{}}" for kind in ("image", "photo", "portrait", "picture", "painting"))),
    "style": ("{}", *(f"{kind} by {{}}" for kind in ("painting", "art", "artwork", "picture")), "style of {}"),
}


@dataclass(frozen=True)
class OceSettings(Settings):
    """Settings of OCE.

    `erase_scale` is s, `preserve_concept_scale` p, `preserve_global_scale` g and `lamb` lam. `expand_prompts` says
    whether targets have the published wordings beside their names, if they are `bare`. `tokens` are those of retained
    concepts; of targets it is always the last subject token. `anchor_span` says what counts as the anchors' span: its
    numerical `rank`, or all `columns` of a QR decomposition of one anchor for each wording, as in the released code.
    """

    tokens: str = field(default="last", metadata={"choices": ("all", "tail", "last")})
    bare: bool = True
    expand_prompts: bool = True
    erase_scale: float = 2000.0
    preserve_concept_scale: float = 0.0
    preserve_global_scale: float = 10.0
    lamb: float = 10.0
    anchor_span: str = field(default=RANK, metadata={"choices": (RANK, COLUMNS)})

    @property
    def general_tokens(self) -> str:
        return "spoken"

    def own_lines(self, category: str) -> tuple[str, ...]:
        return EXPANDED["style" if category == "style" else "object"] if self.bare and self.expand_prompts else ()


def plan(
    weights: Mapping[str, Tensor], kinds: Mapping[str, str], concepts: ConceptEmbeddings, settings: OceSettings
) -> dict[str, Tensor]:
    """Return the change of each value projection, (R - I) W0."""
    kept, targets = _kept(concepts, settings), _spanning(concepts.subjects)
    anchors = _spanning(concepts.neutral) if settings.anchor_span == RANK else concepts.neutral.double()
    return {
        name: _turned(name, weight, kept, targets, anchors, settings)
        for name, weight in weights.items()
        if kinds[name] == "value"
    }


def rotation(layer: str, objective: Tensor, proper: bool) -> Tensor:
    """Return the orthogonal R [k, k] with the largest tr(R^T M), of determinant 1 if `proper`.

    Raises:
        EditError: M is singular.
    """
    left, sizes, right = svd(objective)
    if not sizes[0] < sizes[-1] * WORST_CONDITION:  # so that NaN is refused too
        raise EditError(layer, f"the rotation is not determined (singular values down to {sizes[-1]:.1e}); raise lamb")
    turned = times(left, right)
    if proper and det(turned) < 0:
        turned = turned - 2 * torch.outer(left[:, -1], right[-1])
    return turned


def _kept(concepts: ConceptEmbeddings, settings: OceSettings) -> Tensor:
    """Return the second moment [d, d] of all that R should leave in place."""
    general = concepts.general.gram / (concepts.general.mass or 1.0)
    kept = settings.preserve_concept_scale * concepts.retain.gram + settings.preserve_global_scale * general
    return kept + settings.lamb * eye(len(kept), kept)


def _spanning(rows: Tensor) -> Tensor:
    """Return at most d rows with the span and the second moment of `rows` [n, d], each of these taken to size 1.

    They stand for the rows in every matrix, so that the work for each matrix does not grow with n.
    """
    return qr(normalize(rows.double(), eps=1e-300), mode="r").R


def _turned(
    layer: str, weight: Tensor, kept: Tensor, targets: Tensor, anchors: Tensor, settings: OceSettings
) -> Tensor:
    """Return (R - I) W0."""
    basis = _directions(weight, beyond=OF_WEIGHTS)
    inside = times(basis.T, weight)
    identity = eye(len(inside), inside)
    shared = _projector if settings.anchor_span == RANK else _completed_projector
    beyond = identity - shared(times(inside, anchors.T))
    spoken = times(_projector(times(inside, targets.T)), beyond)
    objective = times(times(inside, kept), inside.T) - settings.erase_scale * spoken
    turned = rotation(layer, objective, proper=basis.shape[0] == basis.shape[1])
    return times(basis, times(turned - identity, inside))


def _projector(values: Tensor) -> Tensor:
    """Return the projector [k, k] onto the span of the columns of `values` [k, n]."""
    span = _directions(values)
    return times(span, span.T)


def _completed_projector(values: Tensor) -> Tensor:
    """Return the projector [k, k] onto all columns of Q, where `values` [k, n] are Q R, also where columns repeat."""
    span = qr(values).Q
    return times(span, span.T)


def _directions(values: Tensor, beyond: float = SAME_DIRECTION) -> Tensor:
    """Return an orthonormal basis [k, rank] of the span of the columns of `values` [k, n]."""
    directions, sizes, _ = svd(values, full_matrices=False)
    return directions[:, sizes > beyond * sizes[0]]


EDITOR = Editor("oce", OceSettings, plan)
