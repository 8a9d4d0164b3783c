"""The two scripts released with ScaPre (Deng et al., ICLR 2026, arXiv 2601.06162), as a baseline.

It is their mathematics as it is, faults included, batched exactly. `engine/editors/scapre.py` is ours.

Each name is a concept. c is its last subject token, x_t the tokens from there to the end of the padding, and y_t as
many of the anchor's from its last; where these are fewer, the x_t end sooner. C has the c for columns, Pi = C (C^T C +
1e-8 I)^-1 C^T.

`erase_scale` works on every row i of a matrix W0, with mask m of its mutual information (`released_rows`), its largest
value over concepts w_i by a draw of its own, and mu the mean entropy of the matrix's rows. It solves

    [ (lam + mu) I + R + C C^T + s sum x x^T + s w_i Pi ] a = (lam + mu) w0_i + s sum_k m_ki sum_t (w0_i y_t) x_t
    R = mu U diag(1 - sigmoid((e - median e) / T)^q) U^T of C's singular values e and vectors U, or 0,

and then moves a some steps towards w0_i along the geodesic of one row (`proximal`). `erase` solves

    W (lam I + C C^T + s sum x x^T) = lam W0 + s sum_k m_k sum_t (W0 y_t) x_t^T - s' W0 P C C^T P
    P = I - U diag(sigmoid((e - median e) / T)^q) U^T, the last term optional,

and mixes every row with the original by its entropy H_i: a W + (1 - a) W0, a = a_min + (1 - a_min)(1 - H_i).

It is batched as follows. mu differs by matrix only, so one generalised eigendecomposition B of (lam I + K, I + R / mu),
K = C C^T + s sum x x^T, inverts G = lam I + K + mu (I + R / mu) for all matrices. With Pi = Q Q^T and Q^T G^-1 Q = U
diag(l) U^T, every row is G^-1 b - G^-1 Q U diag(s w_i / (1 + s w_i l)) U^T Q^T G^-1 b. Tokens are taken into the basis
B in float64 before they are summed with the masks (`released_values`). In that basis they are of size 1 and less. So
sums in float32 do not lose what they would lose otherwise, because G has a condition number like 1e7.

Draws are by name and seed, the same for all matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from expunge.engine.editors.base import ConceptEmbeddings, Editor, Settings, at_least
from expunge.engine.editors.released.rows import COPIES, EPS, mask_samples, noise, row_entropy, soft_masks
from expunge.engine.editors.released.values import Batch, add_masked
from expunge.engine.errors import EditError, SettingError
from expunge.engine.linalg import Pencil, add_product, diagonalise, eigh, eye, product, svd, times

LARGEST, OWN = "largest mask", "own masks"
CONCEPTS = 64  # so many concepts' tokens are summed at a time
PUBLISHED: dict[str, dict[str, Any]] = {
    "large scale": {},
    "diversi50": {"erase_scale": 3.0, "exponent": 5.0, "spectral": False, "entropy_samples": 20},
    "explicit": {"mask": False, "spectral": False, "entropy_samples": 20},
    "naked": {"erase_scale": 1.0, "mask": False, "spectral": False, "entropy_samples": 20, "steps": 2},
    "imagenette": {"script": "erase", "erase_scale": 1.0, "exponent": 2.0, "entropy_samples": 20},
    "artists": {"script": "erase", "erase_scale": 1.0, "exponent": 2.0, "entropy_samples": 20, "least_edit": 0.5},
    "residual": {
        "script": "erase",
        "erase_scale": 1.0,
        "exponent": 2.0,
        "entropy_samples": 20,
        "least_edit": 1.0,
        "residual": True,
    },
}
"""The settings of the published commands, in their script/erase.sh, where they differ from the defaults.

`residual` is theirs for Confuse5 alone: the first command for nudity, `naked`, has the same options, but is given to
erase_scale.py, which reads `--svd` and `--alpha_min` and uses neither, and `--T_sigma` only with `--enable_ased`.
The first of their commands for 50 artists names the anchor `art`; anchors are the targets' own here.
"""


@dataclass(frozen=True)
class ReleasedSettings(Settings):
    """Settings of the two scripts.

    `script` is one of the two. `erase_scale` is s, `lamb` lam and `exponent` p of the mask. `noise` is the standard
    deviation of the mask's and the entropy's noise. The entropy takes `entropy_samples` of a concept in `entropy_bins`.
    `temperature` T and `gate` q belong to the spectral part.

    Of the script `erase_scale`: `mask`, `spectral` R, and the `steps` of the proximal map. Of `erase`, where the mask
    is always on: `least_edit` a_min, `residual` the last term, and `residual_scale` s' (0: s). `precision` is that of
    the work row by row; the systems are solved in float64. `seed` is that of its draws, not the specification's. The
    defaults are the published command for large scale.
    """

    one_by_one: ClassVar[bool] = True
    tokens: str = field(default="tail", metadata={"choices": ("tail",)})
    bare: bool = True
    general_words: int = 0
    script: str = field(default="erase_scale", metadata={"choices": ("erase_scale", "erase")})
    erase_scale: float = 2.0
    lamb: float = 0.5
    mask: bool = True
    exponent: float = 8.0
    noise: float = 0.01
    entropy_samples: int = 30
    entropy_bins: int = 20
    spectral: bool = True
    temperature: float = 1.0
    gate: float = 1.0
    steps: int = 1
    least_edit: float = 0.8
    residual: bool = False
    residual_scale: float = 0.0
    seed: int = 0
    precision: str = field(default="float32", metadata={"choices": ("float32", "float64")})

    def __post_init__(self) -> None:
        at_least("scapre-released", 2, entropy_bins=self.entropy_bins)
        at_least("scapre-released", 1, entropy_samples=self.entropy_samples)
        if self.least_edit > 1:
            raise SettingError(f"scapre-released.least_edit is {self.least_edit}; use a share, at most 1")


def plan(
    weights: Mapping[str, Tensor], kinds: Mapping[str, str], concepts: ConceptEmbeddings, settings: ReleasedSettings
) -> dict[str, Tensor]:
    """Return the change of each weight.

    Raises:
        EditError: tokens or the empty prompt were not read, or `lamb` is too small for the targets.
    """
    if concepts.tokens is None or concepts.empty is None:
        raise EditError("targets", "their tokens were not read; gather them by this editor's own settings")
    rows = torch.cat([weight.to(getattr(torch, settings.precision)) for weight in weights.values()])
    script = _scaled if settings.script == "erase_scale" else _mixed
    edited = script(rows, [len(weight) for weight in weights.values()], concepts, settings)
    return {name: new.double() - weight.double() for (name, weight), new in zip(weights.items(), edited, strict=True)}


def proximal(weight: Tensor, rows: Tensor, mu: float, pull: float, steps: int) -> Tensor:
    """Return `rows` a [d_out, d] moved towards `weight` w0, by turns in length and direction, u = a/|a| at first.

    A step takes k = max(0, u u0), r = (pull |a| + mu |w0| k) / (pull + mu), and u along pull a + mu |w0| k u0. The
    result is r u.
    """
    size, size0 = (matrix.norm(dim=1, keepdim=True).clamp_min(EPS) for matrix in (rows, weight))
    length, direction, direction0 = size, rows / size, weight / size0
    for _ in range(max(1, steps)):
        alike = (direction * direction0).sum(1, keepdim=True).clamp_min(0)
        length = (pull * size + mu * size0 * alike) / (pull + mu)
        turned = pull * rows + mu * size0 * alike * direction0
        direction = turned / turned.norm(dim=1, keepdim=True).clamp_min(EPS)
    return length * direction


def _scaled(
    rows: Tensor, sizes: list[int], concepts: ConceptEmbeddings, settings: ReleasedSettings
) -> Iterator[Tensor]:
    """Yield each edited matrix of the script `erase_scale`.

    The `rows` are those of matrices of `sizes`, one below the other.
    """
    subjects, identity = concepts.subjects.double(), _identity(concepts)
    spread, vectors = _spectrum(subjects)
    shape = times(vectors * (1 - _gate(spread, settings)), vectors.T) if settings.spectral else 0 * identity
    pencil = diagonalise(settings.lamb * identity + _covariance(concepts, settings), identity + shape, held_by="lamb")
    own = times(pencil.basis.T, vectors * (spread**2 / (spread**2 + EPS)).sqrt())
    values, widest = _masked_values(rows, sizes, concepts, settings, pencil.basis)
    entropy = _entropy(rows, concepts, settings).clamp(0, 1)
    basis = pencil.basis.to(rows).contiguous()
    for weight, value, wide, entropies in zip(
        *(part.split(sizes) for part in (rows, values, widest, entropy)), strict=True
    ):
        mu = entropies.mean().item()
        right = times((settings.lamb + mu) * weight, basis) + value
        solved = _solved(right, settings.erase_scale * wide, pencil, own, mu)
        yield proximal(weight, solved, mu, settings.lamb + mu, settings.steps)


def _solved(right: Tensor, pull: Tensor, pencil: Pencil, own: Tensor, mu: float) -> Tensor:
    """Return the rows a_i that solve (G + pull_i Pi) a_i = b_i, where Pi is `own` own^T.

    `right` holds b [d_out, d] in the pencil's basis.
    """
    shrink = 1 / (1 + mu * pencil.values)
    sizes, turn = eigh(times(own.T, shrink[:, None] * own))
    shrink, sizes, own, basis = (
        part.to(right) for part in (shrink, sizes.clamp_min(0), times(own, turn), pencil.basis)
    )
    free = right * shrink
    spoken = times(free, own) * (pull / (1 + pull * sizes))
    return times(free - times(spoken, own.T) * shrink, basis.T)


def _mixed(rows: Tensor, sizes: list[int], concepts: ConceptEmbeddings, settings: ReleasedSettings) -> Iterator[Tensor]:
    """Yield each edited matrix of the script `erase`."""
    identity = _identity(concepts)
    basis = diagonalise(settings.lamb * identity + _covariance(concepts, settings), 0 * identity, held_by="lamb").basis
    values, _ = _masked_values(rows, sizes, concepts, settings, basis)
    entropy = _entropy(rows, concepts, settings)[:, None]
    start = times(settings.lamb * identity - _residual(concepts, settings, identity), basis).to(rows)
    for weight, value, entropies in zip(*(part.split(sizes) for part in (rows, values, entropy)), strict=True):
        solved = times(times(weight, start) + value, basis.T.to(rows))
        share = settings.least_edit + (1 - settings.least_edit) * (1 - entropies)
        yield share * solved + (1 - share) * weight


def _residual(concepts: ConceptEmbeddings, settings: ReleasedSettings, identity: Tensor) -> Tensor:
    """Return s' P C C^T P, [d, d]."""
    if not settings.residual:
        return 0 * identity
    subjects = concepts.subjects.double()
    spread, vectors = _spectrum(subjects)
    remaining = times(subjects, identity - times(vectors * _gate(spread, settings), vectors.T))
    return (settings.residual_scale or settings.erase_scale) * product(remaining, remaining)


def _masked_values(
    rows: Tensor, sizes: list[int], concepts: ConceptEmbeddings, settings: ReleasedSettings, basis: Tensor
) -> tuple[Tensor, Tensor]:
    """Return s sum_k m_k sum_t (W0 y_t) x_t^T of all rows in `basis` [r, d], and the largest mask w [r, 1]."""
    values, widest = torch.zeros_like(rows), rows.new_zeros(len(rows), 1)
    for part, own, largest in masks(rows, sizes, concepts, settings):
        add_masked(values, rows, sizes, own, Batch.of(concepts.tokens, part, basis, rows))  # type: ignore[arg-type]
        widest = torch.maximum(widest, torch.cat(largest).amax(1, keepdim=True))
    return values.mul_(settings.erase_scale), widest


def masks(
    rows: Tensor, sizes: list[int], concepts: ConceptEmbeddings, settings: ReleasedSettings
) -> Iterator[tuple[range, list[Tensor], list[Tensor]]]:
    """Yield, for one run of concepts after the other, their own masks and those of which the largest counts.

    Each is [size, m] for each matrix. They are ones where the script takes none.
    """
    draws = _mask_draws(concepts, settings, rows)
    subjects, empty = concepts.subjects.to(rows), _after_start(concepts).to(rows)

    def taken(use: str, first: int, past: int) -> list[Tensor]:
        if use not in draws:
            return [rows.new_ones(size, past - first) for size in sizes]
        samples = mask_samples(subjects[first:past], empty, draws[use][:, first:past])
        return [soft_masks(weight, samples, settings.exponent) for weight in rows.split(sizes)]

    for first in range(0, len(subjects), CONCEPTS):
        past = min(first + CONCEPTS, len(subjects))
        yield range(first, past), taken(OWN, first, past), taken(LARGEST, first, past)


def _after_start(concepts: ConceptEmbeddings) -> Tensor:
    """Return the first token after the start of text in the empty prompt, [d]; of a pooled stream its only token."""
    return concepts.empty[:2][-1]  # type: ignore[index]


def _mask_draws(concepts: ConceptEmbeddings, settings: ReleasedSettings, like: Tensor) -> dict[str, Tensor]:
    """Return the noise [2, m, COPIES, d] of each mask that the script takes, the largest and the concepts' own."""
    uses = (OWN,) if settings.script == "erase" else (LARGEST, OWN) if settings.mask else ()
    shape = (2, len(concepts.subjects), COPIES, like.shape[1])
    return {use: noise(use, settings.seed, shape, like).mul_(settings.noise) for use in uses}


def _entropy(rows: Tensor, concepts: ConceptEmbeddings, settings: ReleasedSettings) -> Tensor:
    """Return the entropy of each row, [r], by noisy copies of all concepts."""
    subjects = concepts.subjects.to(rows)
    shape = (len(subjects), settings.entropy_samples, rows.shape[1])
    copies = noise("entropy", settings.seed, shape, rows).mul_(settings.noise).permute(2, 0, 1).contiguous()
    return row_entropy(rows, copies.add_(subjects.T[..., None]).flatten(1), settings.entropy_bins)


def _covariance(concepts: ConceptEmbeddings, settings: ReleasedSettings) -> Tensor:
    """Return C C^T + s sum x x^T."""
    subjects, gram = concepts.subjects.double(), 0 * _identity(concepts)
    for part in concepts.tokens.x.split(CONCEPTS * len(concepts.empty)):  # type: ignore[union-attr,arg-type]
        part = part.double()
        add_product(gram, part, part)
    return product(subjects, subjects) + settings.erase_scale * gram


def _spectrum(subjects: Tensor) -> tuple[Tensor, Tensor]:
    """Return C's singular values [r] and left singular vectors [d, r]."""
    _, spread, vectors = svd(subjects, full_matrices=False)
    return spread, vectors.T


def _gate(spread: Tensor, settings: ReleasedSettings) -> Tensor:
    return torch.sigmoid((spread - spread.median()) / (settings.temperature + EPS)) ** settings.gate


def _identity(concepts: ConceptEmbeddings) -> Tensor:
    return eye(concepts.subjects.shape[1], concepts.subjects)


EDITOR = Editor("scapre-released", ReleasedSettings, plan)
