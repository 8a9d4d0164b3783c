"""Linear algebra of closed-form edits, batched over rows and computed in float64.

The same request must give the same digest on any number of threads. Three rules ensure that:

- LAPACK rounds differently on one thread and on two. So factorisations, and sums over a whole matrix, run on one
  thread. They take little time beside the products.
- MKL shares a product among threads by the rows and columns of its result. Where these are few compared with the length
  of the sums, it splits the sums, and rounding depends on the number of threads. So a long sum is taken in blocks, and
  a product with few rows or columns on one thread.
- With 16 threads and more, rounding also depends on their number where a factor lies in memory column by column, as
  LAPACK's results do. So factors are laid out row by row first.

Editors multiply by `times` and `product` alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.engine.errors import EditError

WORST_CONDITION = 1e13
SHORT = 256  # rows; MKL does not split a sum over so many rows, or over as many as there are columns
FEW = 256  # rows or columns; a product with fewer is computed on one thread


def steady(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function, made to run on one thread."""

    @functools.wraps(function)
    def alone(*args: Any, **settings: Any) -> Any:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return function(*args, **settings)
        finally:
            torch.set_num_threads(threads)

    return alone


cholesky = steady(torch.linalg.cholesky)
cholesky_solve = steady(torch.cholesky_solve)
det = steady(torch.linalg.det)
eigh = steady(torch.linalg.eigh)
eigvalsh = steady(torch.linalg.eigvalsh)
qr = steady(torch.linalg.qr)
solve_triangular = steady(torch.linalg.solve_triangular)
svd = steady(torch.linalg.svd)
mean = steady(torch.mean)
total = steady(torch.sum)
_alone = steady(torch.matmul)


def eye(size: int, like: Tensor) -> Tensor:
    """Return the identity [size, size] in float64, on the device of `like`."""
    return torch.eye(size, dtype=torch.float64, device=like.device)


def product(x: Tensor, y: Tensor) -> Tensor:
    """Return X^T Y [d, e] for the rows x [n, d] and y [n, e]."""
    return add_product(x.new_zeros(x.shape[1], y.shape[1]), x, y)


def add_product(found: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Add X^T Y to `found` [d, e] in place, and return it."""
    rows = max(SHORT, min(found.shape))
    for left, right in zip(x.contiguous().split(rows), y.contiguous().split(rows), strict=True):
        found.addmm_(left.T, right)
    return found


def times(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return A B for A [n, d] or [d] and B [d, m] or [d], where n or m may be small.

    The result is written into `out` if there is one.
    """
    few = a.dim() == 1 or b.dim() == 1 or min(a.shape[0], b.shape[1]) < FEW
    return _alone(a, b, out=out) if few else torch.matmul(a.contiguous(), b.contiguous(), out=out)


def sums(rows: Tensor, group: Tensor, count: int) -> Tensor:
    """Return the sum of the rows of each group, [count, d].

    `group` [n] numbers the group of each of `rows` [n, d]. The rows of a group are added in their order, which
    `index_add_` keeps on a CPU alone.
    """
    lengths = group.new_zeros(count).index_add_(0, group, torch.ones_like(group))
    return torch.segment_reduce(rows[group.argsort(stable=True)], "sum", lengths=lengths, axis=0, initial=0)


@dataclass(frozen=True)
class Pencil:
    """The pair (G, S) diagonalised together: `basis`^T G basis = I and `basis`^T S basis = diag(`values`).

    One generalised eigendecomposition then solves (G + m S) w = b for every m >= 0 with two matrix products.
    """

    basis: Tensor
    values: Tensor

    def solve(self, right: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the rows w_i that solve (G + m_i S) w_i = b_i.

        Args:
            right: the right sides b [rows, d].
            weights: m [rows], each at least 0; 1 by default.
        """
        weights = self.values.new_ones(len(right)) if weights is None else weights
        return self.solve_in_basis(times(right, self.basis), weights)

    def solve_in_basis(self, right: Tensor, weights: Tensor) -> Tensor:
        """Return the rows that `solve` returns, for right sides already multiplied by `basis`."""
        return times(right / (1 + weights[:, None] * self.values), self.basis.T)


def diagonalise(g: Tensor, s: Tensor, held_by: str) -> Pencil:
    """Diagonalise symmetric positive definite G [d, d] and semidefinite S [d, d] together.

    G = L L^T, then L^-1 S L^-T = U diag(l) U^T and basis = L^-T U.

    Args:
        g: G.
        s: S.
        held_by: the setting that keeps G well-conditioned, to be named in an error.
    Raises:
        EditError: G is singular or ill-conditioned, or one of the two is not finite.
    """
    g, s = _symmetric(g), _symmetric(s)
    _check_finite(g, s)
    spectrum = eigvalsh(g)
    _check_condition(spectrum[0].item(), spectrum[-1].item(), held_by)
    lower = cholesky(g)
    half = solve_triangular(lower, s, upper=False)
    whitened = solve_triangular(lower, half.T, upper=False)
    values, vectors = eigh(_symmetric(whitened))
    basis = solve_triangular(lower.T, vectors, upper=True)
    return Pencil(basis, values.clamp_min(0))


def solve_ridged(s: Tensor, ridge: float, right: Tensor, held_by: str) -> Tensor:
    """Return the X that solves (S + r I) X = B, for semidefinite S [d, d], `ridge` r and `right` B [d, m].

    Raises:
        EditError: as for `diagonalise`, judged by the bounds that r and the trace of S set to the eigenvalues.
    """
    s = _symmetric(s)
    _check_finite(s)
    _check_condition(ridge, ridge + s.trace().item(), held_by)
    return cholesky_solve(right, cholesky(s + ridge * eye(len(s), s)))


def procrustes(a: Tensor, b: Tensor) -> Tensor:
    """Return the orthogonal Q [d, d] with the least |A Q - B|, for A and B [rows, d]: the polar factor of A^T B."""
    u, _, vh = svd(product(a, b))
    return times(u, vh)


def _check_finite(*matrices: Tensor) -> None:
    if not all(matrix.isfinite().all() for matrix in matrices):
        raise EditError("shared system", "the covariance is not finite; check the model and the concepts for NaN")


def _check_condition(least: float, most: float, held_by: str) -> None:
    if not (least > 0 and most / least <= WORST_CONDITION):  # so that NaN is refused too
        found = f"the system is ill-conditioned (eigenvalues {least:.1e} to {most:.1e})"
        raise EditError("shared system", f"{found}; raise the editor's {held_by}, which holds it")


def _symmetric(matrix: Tensor) -> Tensor:
    matrix = matrix.double()
    return (matrix + matrix.T) / 2


def ratio(part: Tensor, whole: Tensor) -> float:
    """Return `part` over `whole` to six digits, and at least 0. It is 0 where `whole` is not above 0.

    NaN stays NaN, which is within no limit.
    """
    return 0.0 if whole <= 0 else float(f"{max((part / whole).item(), 0.0):.6g}")
