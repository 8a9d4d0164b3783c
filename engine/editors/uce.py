"""Unified Concept Editing (Gandikota et al., WACV 2024, arXiv 2308.14761, equation 7).

    W = (lam W0 + s sum (W0 a) c^T + r sum (W0 k) k^T) (lam I + s sum c c^T + r sum k k^T)^-1

over targets c with anchors a and retained k. Since W0 factors out to the left, the change of every matrix is
W0 s (C - S) G^-1 with one [d, d] matrix to its right: one solve for the whole model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from expunge.engine.editors.base import ConceptEmbeddings, Editor, Moments, Settings, reads_words
from expunge.engine.linalg import diagonalise, eye, times


@dataclass(frozen=True)
class UceSettings(Settings):
    """Settings of UCE.

    `erase_scale` is s, `preserve_scale` r and `lamb` lam. `general` is the weight of the vocabulary's own words.

    The defaults are those of the authors' `uce_sd_erase.py`: bare names, last subject token, no general words. Their
    earlier `train_erase.py` edits all tokens from the last subject token on, and always retains the empty prompt.
    """

    tokens: str = field(default="last", metadata={"choices": ("all", "tail", "last")})
    bare: bool = True
    general_words: int = 0
    erase_scale: float = 1.0
    preserve_scale: float = 1.0
    lamb: float = 0.5
    general: float = 0.0

    def __post_init__(self) -> None:
        reads_words(self.general, self.general_words)


def plan(
    weights: Mapping[str, Tensor], kinds: Mapping[str, str], concepts: ConceptEmbeddings, settings: UceSettings
) -> dict[str, Tensor]:
    """Return the change of each weight, W0 times one matrix for the whole model."""
    change = right_factor(concepts.targets, concepts, settings)
    return {name: times(weight, change) for name, weight in weights.items()}


def right_factor(
    erased: Moments, concepts: ConceptEmbeddings, settings: UceSettings, present: Tensor | None = None
) -> Tensor:
    """Return D [d, d] of the changes W0 D that send `erased` to their anchors and hold what is kept.

    The ridge holds D to the `present` one, by default to none at all.
    """
    identity = eye(len(erased.gram), erased.gram)
    kept = settings.preserve_scale * concepts.retain.gram + settings.general * concepts.general.gram
    pencil = diagonalise(settings.lamb * identity + kept, settings.erase_scale * erased.gram, held_by="lamb")
    wanted = settings.erase_scale * (erased.cross - erased.gram)
    wanted = wanted if present is None else settings.lamb * present + wanted
    return pencil.solve(wanted)


EDITOR = Editor("uce", UceSettings, plan)
