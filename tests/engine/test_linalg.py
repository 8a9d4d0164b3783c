"""The batched solve is the row-by-row solve; Procrustes is the nearest rotation; bad systems are refused."""

from __future__ import annotations

import pytest
import torch

from engine.errors import EditError
from engine.linalg import diagonalise, procrustes

D, ROWS = 12, 40


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def semidefinite(rank: int, seed: int) -> torch.Tensor:
    factor = draw(D, rank, seed=seed)
    return factor @ factor.T


def test_batched_solve_equals_row_by_row():
    g, s = semidefinite(D, 1) + 0.01 * torch.eye(D), semidefinite(3, 2)
    right, weights = draw(ROWS, D, seed=3), draw(ROWS, seed=4).abs() * 10
    weights[0] = 0.0
    solved = diagonalise(g, s).solve(right, weights)
    for row in range(ROWS):
        alone = torch.linalg.solve(g + weights[row] * s, right[row])
        assert torch.allclose(solved[row], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("g", "problem"),
    [
        (torch.zeros(D, D), "raise what holds it"),
        (torch.diag(torch.logspace(0, -15, D, dtype=torch.float64)), "raise what holds it"),
        (torch.full((D, D), torch.nan), "not finite"),
    ],
)
def test_bad_systems_are_refused_by_layer(g: torch.Tensor, problem: str):
    with pytest.raises(EditError, match=problem) as caught:
        diagonalise(g, semidefinite(2, 0), layer="unet.mid")
    assert caught.value.layer == "unet.mid"


def test_procrustes_finds_the_rotation_and_beats_others():
    a, turn = draw(ROWS, D), torch.linalg.qr(draw(D, D, seed=1)).Q
    assert torch.allclose(procrustes(a, a @ turn), turn, atol=1e-10)
    b = draw(ROWS, D, seed=2)
    best = (a @ procrustes(a, b) - b).norm()
    assert all(best < (a @ torch.linalg.qr(draw(D, D, seed=s)).Q - b).norm() for s in range(3, 23))
