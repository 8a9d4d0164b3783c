"""Diagnostics from moments are what the tokens themselves say."""

from __future__ import annotations

import math

import pytest
import torch

from expunge.engine.editors import ConceptEmbeddings, Moments
from expunge.engine.editors.diagnostics import diagnosed
from expunge.engine.linalg import ratio
from tests.engine.draws import draw

D, ROWS = 6, 9


X, Y, KEPT, WORDS = draw(5, D, seed=1), draw(5, D, seed=2), draw(4, D, seed=3), draw(3, D, seed=4)
SHARES = torch.tensor([0.5, 0.5, 1.0, 0.25, 0.75], dtype=torch.float64)
CONCEPTS = ConceptEmbeddings(
    targets=Moments.of(X, Y, SHARES),
    retain=Moments.of(KEPT),
    general=Moments.of(WORDS),
    subjects=X,
    neutral=Y,
    concept=torch.arange(5),
    lookalikes=KEPT,
)
W, DELTA = draw(ROWS, D, seed=5), draw(ROWS, D, seed=6)


def energy(matrix: torch.Tensor, rows: torch.Tensor) -> float:
    return (matrix @ rows.T).square().sum().item()


def test_they_are_sums_over_tokens():
    told = diagnosed(W, DELTA, CONCEPTS)

    def missed(weight: torch.Tensor) -> float:
        return float(((weight @ X.T - W @ Y.T).square().sum(0) * SHARES).sum())

    kept = torch.cat([KEPT, WORDS])
    assert told["residual"] == pytest.approx(missed(W + DELTA) / missed(W), rel=1e-5)
    assert told["drift"] == pytest.approx(energy(DELTA, kept) / energy(W, kept), rel=1e-5)
    assert told["change"] == pytest.approx((DELTA.norm() / W.norm()).item(), rel=1e-5)


def test_no_change_leaves_everything_and_an_exact_one_leaves_nothing():
    still = diagnosed(W, torch.zeros_like(W), CONCEPTS)
    assert still == {"change": 0.0, "residual": 1.0, "drift": 0.0}
    exact = W @ (Y - X).T @ torch.linalg.pinv(X.T)
    assert diagnosed(W, exact, CONCEPTS)["residual"] < 1e-9


def test_of_nothing_there_is_no_share():
    assert ratio(torch.tensor(1.0), torch.tensor(0.0)) == 0.0


@pytest.mark.parametrize(("part", "whole"), [(float("nan"), 1.0), (1.0, float("nan"))])
def test_a_nan_is_not_taken_for_nothing(part: float, whole: float) -> None:
    assert ratio(torch.tensor(1.0), torch.tensor(4.0)) == 0.25
    assert math.isnan(ratio(torch.tensor(part), torch.tensor(whole)))
