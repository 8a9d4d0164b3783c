"""ScaPre (Deng et al., ICLR 2026, arXiv 2601.06162) in a form that keeps what it is asked to keep.

Each row w of a projection, with its original w0, minimises

    m [ s sum (w x - w0 y)^2 + g |w - w0 Q|^2 ]  +  r sum (w k - w0 k)^2 + v sum (w u - w0 u)^2
                                                 +  (w - w0) (lam I + R) (w - w0)^T

over target tokens x with anchors y, retained tokens k and the vocabulary's own words u; m is the row's mask. The first
sum grows with the number of targets n and the third one does not, so v is taken n / 20 times from n = 20 on. Parts:

- Spectral trace regulariser, lam I + R. The paper puts it on W, whose only minimiser without replacement values is W =
  0. Here it is on the change. R = p tau U diag(1 - sigmoid((e - median e) / median e)) U^T, from the singular values e
  and vectors U of what sets targets apart from their anchors, x - y at the subject. Of the directions that these span
  it holds the weaker ones more, by at most 1 - sigmoid(-1) = 0.73, and lets the dominant ones go.
- Informax Decoupler, m. It is the mutual information of a row's binarised activation with the label target or not,
  where the others are the anchors AND the retained look-alikes. Against the empty prompt alone it saturates at ln 2 for
  every row. m = (MI / max MI)^q, the largest over concepts. The mask is on both sides of the normal equations. So a row
  that says nothing of the target is left exactly as it was, where the released code drives it to zero.
- Geometry alignment, g. The Bures distance of W W^T and W0 W0^T is min over orthogonal Q of |W - W0 Q|. So it goes into
  the objective and is minimised by turns: Q by Procrustes, W by the same solve. The paper moves W back along the
  geodesic after the solve, which undoes part of the erasure and of the retention. Inside the objective they are weighed
  against it. It is off by default. On the built-in model it does what the ridge does (smaller change, a little less
  erased) and no more, at one singular value decomposition a matrix and turn.

With G = lam I + R + r K + v V shared by all rows, all matrices and all turns, and S = s X + g I, every row solves (G +
m S) (w - w0) = m b. That takes one generalised eigendecomposition for the whole model, then two matrix products a
matrix, or one where neither mask nor geometry distinguishes rows.

tau, the mean squared component of the targets' and their anchors' last subject tokens, is the unit of lam and p, so
that settings mean the same for encoders of any scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from expunge.engine.editors.base import DEFAULT_ANCHORS, MEAN, ConceptEmbeddings, Editor, Settings, reads_words
from expunge.engine.linalg import Pencil, diagonalise, eye, mean, procrustes, svd, times

AUTO = "auto"
STRENGTH = 12.0
GENERAL = 60.0
MANY = 20  # targets; the settings were chosen on so many, and hold up to here


@dataclass(frozen=True)
class ScapreSettings(Settings):
    """Settings of ScaPre.

    `strength` is s, or `auto`: the default on average, and more where a target is hard to erase
    (`engine/planning/adaptive_strength.py`). `retain` is r, `general` v for up to 20 targets, `ridge` lam and
    `spectral` p of R. `informax` is q of the mask (0: every row is edited in full). `geometry` is g in units of tau (0:
    off), with `geometry_turns` of the two minimisations.
    """

    kin: float = 10.0
    default_anchor: str = field(default=MEAN, metadata=DEFAULT_ANCHORS)
    strength: float | str = field(default=STRENGTH, metadata={"words": (AUTO,)})
    retain: float = 6.0
    general: float = GENERAL
    ridge: float = 1.0
    spectral: float = 0.0
    informax: float = 0.0
    geometry: float = 0.0
    geometry_turns: int = 2

    def __post_init__(self) -> None:
        if self.general != GENERAL:  # the default may stand where no words are read
            reads_words(self.general, self.general_words)

    @property
    def adaptive(self) -> bool:
        return self.strength == AUTO

    @property
    def s(self) -> float:
        """Return the strength as a number; the default for `auto`."""
        return STRENGTH if isinstance(self.strength, str) else self.strength


def plan(
    weights: Mapping[str, Tensor], kinds: Mapping[str, str], concepts: ConceptEmbeddings, settings: ScapreSettings
) -> dict[str, Tensor]:
    """Return the change of each weight."""
    targets, unit = concepts.targets, _unit(concepts)
    identity = eye(len(targets.gram), targets.gram)
    pull = settings.s * targets.gram + settings.geometry * unit * identity
    pencil = diagonalise(_held(concepts, settings, unit, identity), pull, held_by="ridge")
    wanted = settings.s * targets.cross - pull
    if not (settings.informax or settings.geometry):
        change = pencil.solve(wanted)
        return {name: times(weight, change) for name, weight in weights.items()}
    shared = times(wanted, pencil.basis)
    masks = {name: informax(weight, concepts, settings.informax) for name, weight in weights.items()}
    if not settings.geometry:
        return {name: _change(times(weight, shared), masks[name], pencil) for name, weight in weights.items()}
    return {
        name: _aligned(weight, masks[name], pencil, shared, settings.geometry * unit, settings.geometry_turns)
        for name, weight in weights.items()
    }


def informax(weight: Tensor, concepts: ConceptEmbeddings, exponent: float) -> Tensor:
    """Return the mask [d_out] in [0, 1] of a weight's rows.

    It is the mutual information with the target that a row shows best, over the largest of all rows.
    """
    rows = len(weight)
    if exponent == 0:
        return torch.ones(rows, dtype=torch.float64, device=weight.device)
    subjects = times(weight, concepts.subjects.double().T)
    others = times(weight, torch.cat([concepts.neutral, concepts.lookalikes]).double().T)
    others, middle = others.sort(1).values, others.mean(1)
    information = torch.zeros(rows, dtype=torch.float64, device=weight.device)
    _, sizes = concepts.concept.cpu().unique(return_counts=True)
    for own in subjects[:, concepts.concept.argsort(stable=True)].split(sizes.tolist(), 1):
        information = torch.maximum(information, _mutual_information(own.contiguous(), others, middle))
    return (information / information.max().clamp_min(1e-12)) ** exponent


def _mutual_information(own: Tensor, others: Tensor, middle: Tensor) -> Tensor:
    """Return the mutual information [rows], in nats, between label and activation, both classes weighed alike.

    The activation is binarised half-way between the means of the classes. The information is at most ln 2, which a row
    reaches that separates the two without error. `others` are sorted, and `middle` is their mean.
    """
    threshold = (own.mean(1) + middle)[:, None] / 2
    on_own = (own > threshold).double().mean(1)
    below = torch.searchsorted(others, threshold, right=True)[:, 0]
    on_others = (others.shape[1] - below).double() / others.shape[1]
    return _entropy((on_own + on_others) / 2) - (_entropy(on_own) + _entropy(on_others)) / 2


def _entropy(p: Tensor) -> Tensor:
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))


def _held(concepts: ConceptEmbeddings, settings: ScapreSettings, unit: float, identity: Tensor) -> Tensor:
    """Return G, which keeps a row where it is."""
    general = settings.general * max(1.0, concepts.count / MANY)
    held = settings.retain * concepts.retain.gram + general * concepts.general.gram
    held = held + settings.ridge * unit * identity
    return held + settings.spectral * unit * _spectral(concepts) if settings.spectral else held


def _spectral(concepts: ConceptEmbeddings) -> Tensor:
    """Return U diag(1 - sigmoid((e - median e) / median e)) U^T, [d, d].

    U and e are the singular vectors and values of the targets' differences from their anchors.
    """
    apart = (concepts.subjects - concepts.neutral).double()
    _, values, vectors = svd(apart, full_matrices=False)
    spanned = values > values[0] * max(apart.shape) * torch.finfo(values.dtype).eps
    values, vectors = values[spanned], vectors[spanned]
    if not len(values):
        return torch.zeros_like(concepts.targets.gram)
    middle = values.median().clamp_min(1e-12)
    return times(vectors.T * (1 - torch.sigmoid((values - middle) / middle)), vectors)


def _unit(concepts: ConceptEmbeddings) -> float:
    rows = torch.cat([concepts.subjects, concepts.neutral])
    return mean(rows.double().square()).item()


def _change(right: Tensor, mask: Tensor, pencil: Pencil) -> Tensor:
    return pencil.solve_in_basis(mask[:, None] * right, mask)


def _aligned(weight: Tensor, mask: Tensor, pencil: Pencil, shared: Tensor, pull: float, turns: int) -> Tensor:
    """Return the change of a weight after turns of W for fixed Q and Q for fixed W.

    The objective falls with each turn, and ends where neither moves.
    """
    change, root, erased = torch.zeros_like(weight), mask.sqrt()[:, None], times(weight, shared)
    for _ in range(turns + 1):
        turned = times(weight, pull * procrustes(root * weight, root * (weight + change)))
        change = _change(erased + times(turned, pencil.basis), mask, pencil)
    return change


EDITOR = Editor("scapre", ScapreSettings, plan)
