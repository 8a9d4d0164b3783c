"""The linear algebra of closed-form edits, batched over rows and carried out in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import EditError

WORST_CONDITION = 1e13


@dataclass(frozen=True)
class Pencil:
    """The pair (G, S) diagonalised together: `basis`^T G basis = I and `basis`^T S basis = diag(`values`).

    One generalised eigendecomposition solves (G + m S) w = b for every m >= 0 at two matrix products.
    """

    basis: Tensor
    values: Tensor

    def solve(self, right: Tensor, weights: Tensor) -> Tensor:
        """The rows w_i of (G + m_i S) w_i = b_i, for `right` b [rows, d] and `weights` m [rows], all m_i >= 0."""
        return self.solve_in_basis(right @ self.basis, weights)

    def solve_in_basis(self, right: Tensor, weights: Tensor) -> Tensor:
        """As `solve`, for right sides already multiplied by `basis`."""
        return (right / (1 + weights[:, None] * self.values)) @ self.basis.T


def diagonalise(g: Tensor, s: Tensor, layer: str = "shared system") -> Pencil:
    """Diagonalise symmetric positive definite G [d, d] and semidefinite S [d, d] together: G = L L^T, then
    L^-1 S L^-T = U diag(l) U^T and basis = L^-T U. EditError if G is singular, ill-conditioned or not finite."""
    g, s = _symmetric(g), _symmetric(s)
    if not (g.isfinite().all() and s.isfinite().all()):
        raise EditError(layer, "the covariance is not finite; check the model and the concepts for NaN")
    spectrum = torch.linalg.eigvalsh(g)
    if spectrum[0] <= 0 or spectrum[-1] / spectrum[0] > WORST_CONDITION:
        found = f"the system is ill-conditioned (eigenvalues {spectrum[0]:.1e} to {spectrum[-1]:.1e})"
        raise EditError(layer, f"{found}; raise what holds it: the editor's ridge, lamb or retain_scale")
    lower = torch.linalg.cholesky(g)
    half = torch.linalg.solve_triangular(lower, s, upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.T, upper=False)
    values, vectors = torch.linalg.eigh(_symmetric(whitened))
    basis = torch.linalg.solve_triangular(lower.T, vectors, upper=True)
    return Pencil(basis, values.clamp_min(0))


def procrustes(a: Tensor, b: Tensor) -> Tensor:
    """The orthogonal Q [d, d] with the least |A Q - B|, for A and B [rows, d]: the polar factor of A^T B."""
    u, _, vh = torch.linalg.svd(a.T @ b)
    return u @ vh


def _symmetric(matrix: Tensor) -> Tensor:
    matrix = matrix.double()
    return (matrix + matrix.T) / 2
