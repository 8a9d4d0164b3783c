"""Made-up matrices and concepts that editors plan for, and how far their plans move and miss."""

from __future__ import annotations

from dataclasses import replace

import torch

from expunge.engine.editors import ConceptEmbeddings, Moments, editor_named, settings_for
from expunge.engine.editors.base import Rows
from tests.engine.draws import draw

D, ROWS = 16, 24
X, Y, KEPT, WORDS, EMPTY = (draw(n, D, seed=n) for n in (3, 2, 4, 5, 6))
Y = Y[[0, 0, 1]]  # the first target has two wordings and one anchor
AROUND, AROUND_Y = draw(6, D, seed=7), draw(6, D, seed=8)
WEIGHTS = {"to_k": draw(ROWS, D, seed=9), "to_v": draw(ROWS, D, seed=10), "narrow.to_v": draw(8, D, seed=11)}
KINDS = {"to_k": "key", "to_v": "value", "narrow.to_v": "value"}
SHARES = torch.tensor([0.5, 0.5, 1.0], dtype=torch.float64)
CONCEPTS = ConceptEmbeddings(
    targets=Moments.of(X, Y, SHARES),
    retain=Moments.of(KEPT),
    general=Moments.of(WORDS, weights=torch.full((5,), 0.2)),
    subjects=X,
    neutral=Y,
    concept=torch.tensor([0, 0, 1]),
    lookalikes=KEPT,
    empty=EMPTY,
    kept=Rows(KEPT, torch.ones(4, dtype=torch.float64)),
)


def planned(editor: str, concepts: ConceptEmbeddings = CONCEPTS, **settings) -> dict[str, torch.Tensor]:
    chosen = editor_named(editor)
    return chosen.plan(WEIGHTS, KINDS, concepts, settings_for(chosen, settings))


def moved(deltas: dict[str, torch.Tensor], rows: torch.Tensor) -> float:
    """The largest relative change of what the edited projections give for any of `rows`."""
    changes = [((deltas[n] @ rows.T).norm(dim=0) / (WEIGHTS[n] @ rows.T).norm(dim=0)).max() for n in deltas]
    return torch.stack(changes).max().item()


def missed(deltas: dict[str, torch.Tensor], rows: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest relative error of W x against W0 y."""
    errors = [((WEIGHTS[n] + deltas[n]) @ rows.T - WEIGHTS[n] @ wanted.T).norm() for n in deltas]
    return max(error.item() / (WEIGHTS[n] @ wanted.T).norm().item() for n, error in zip(deltas, errors, strict=True))


def spread_out() -> ConceptEmbeddings:
    """The targets' own tokens and, around them, words that carry them."""
    return replace(CONCEPTS, targets=CONCEPTS.targets + Moments.of(AROUND, AROUND_Y))
