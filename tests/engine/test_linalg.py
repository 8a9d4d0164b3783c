"""The batched solve is the row-by-row solve; Procrustes is the nearest rotation; bad systems are refused."""

from __future__ import annotations

import pytest
import torch

from expunge.engine.errors import EditError
from expunge.engine.linalg import add_product, diagonalise, procrustes, product, solve_ridged, sums, times
from tests.engine.draws import draw

D, ROWS = 12, 40


def semidefinite(rank: int, seed: int) -> torch.Tensor:
    factor = draw(D, rank, seed=seed)
    return factor @ factor.T


def test_batched_solve_equals_row_by_row():
    g, s = semidefinite(D, 1) + 0.01 * torch.eye(D), semidefinite(3, 2)
    right, weights = draw(ROWS, D, seed=3), draw(ROWS, seed=4).abs() * 10
    weights[0] = 0.0
    solved = diagonalise(g, s, held_by="ridge").solve(right, weights)
    for row in range(ROWS):
        alone = torch.linalg.solve(g + weights[row] * s, right[row])
        assert torch.allclose(solved[row], alone, rtol=1e-9, atol=1e-9)


def test_a_ridged_solve_is_the_plain_one():
    s, right = semidefinite(3, 5), draw(D, ROWS, seed=6)
    expected = torch.linalg.solve(s + 0.01 * torch.eye(D, dtype=torch.float64), right)
    assert torch.allclose(solve_ridged(s, 0.01, right, held_by="ridge"), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("s", "ridge", "problem"),
    [
        (semidefinite(3, 5), 0.0, "raise the editor's ridge, which holds it"),
        (semidefinite(3, 5), 1e-15, "raise the editor's ridge, which holds it"),
        (semidefinite(3, 5), float("nan"), "raise the editor's ridge, which holds it"),
        (torch.full((D, D), torch.nan), 1.0, "not finite"),
    ],
)
def test_a_ridged_solve_that_the_ridge_does_not_hold_is_refused(s: torch.Tensor, ridge: float, problem: str):
    with pytest.raises(EditError, match=problem) as caught:
        solve_ridged(s, ridge, draw(D, 2, seed=0), held_by="ridge")
    assert caught.value.layer == "shared system"


@pytest.mark.parametrize(
    ("g", "problem"),
    [
        (torch.zeros(D, D), "raise the editor's ridge, which holds it"),
        (torch.diag(torch.logspace(0, -15, D, dtype=torch.float64)), "raise the editor's ridge, which holds it"),
        (torch.full((D, D), torch.nan), "not finite"),
    ],
)
def test_bad_systems_are_refused_by_the_setting_that_holds_them(g: torch.Tensor, problem: str):
    with pytest.raises(EditError, match=problem) as caught:
        diagonalise(g, semidefinite(2, 0), held_by="ridge")
    assert caught.value.layer == "shared system"


def test_procrustes_finds_the_rotation_and_beats_others():
    a, turn = draw(ROWS, D, seed=0), torch.linalg.qr(draw(D, D, seed=1)).Q
    assert torch.allclose(procrustes(a, a @ turn), turn, atol=1e-10)
    b = draw(ROWS, D, seed=2)
    best = (a @ procrustes(a, b) - b).norm()
    assert all(best < (a @ torch.linalg.qr(draw(D, D, seed=s)).Q - b).norm() for s in range(3, 23))


def test_a_product_of_many_rows_is_the_plain_one_and_the_same_on_any_number_of_threads():
    x, y = draw(3000, D, seed=6), draw(3000, D + 4, seed=7)
    assert torch.allclose(product(x, y), x.T @ y, rtol=1e-12, atol=1e-9)
    assert torch.allclose(add_product(torch.ones(D, D + 4).double(), x, y), 1 + x.T @ y, rtol=1e-12, atol=1e-9)
    before, found = torch.get_num_threads(), []
    for count in (1, 2, 3, 8):
        torch.set_num_threads(count)
        found.append(product(x, y))
    torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found)


def test_a_product_of_no_rows_is_nothing():
    assert not product(draw(0, D, seed=0), draw(0, D, seed=0)).any()


def test_a_product_with_few_rows_or_columns_is_the_plain_one():
    a, b = draw(D, 300, seed=8), draw(300, 500, seed=9)
    for left, right in ((a, b), (b.T, a.T), (a[0], b), (b.T, a[0]), (a[0], a[1]), (b.T, b)):
        assert torch.allclose(times(left, right), left @ right, rtol=1e-12, atol=1e-9)


def test_the_sums_of_groups_are_those_of_their_rows_and_nothing_of_an_empty_one():
    rows, group = draw(40, D, seed=10), torch.arange(40) % 7 % 5  # groups of unlike size, none of 5
    found = sums(rows, group, 6)
    assert torch.allclose(found[:5], torch.stack([rows[group == one].sum(0) for one in range(5)]), rtol=1e-12)
    assert not found[5].any()
    assert torch.equal(sums(rows[:0], group[:0], 2), torch.zeros(2, D, dtype=torch.float64))
