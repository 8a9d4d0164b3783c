"""How far apart two sets of pictures are, by their features; all in float64, the kernel and its estimate as published.

`kid` holds at any number of pictures, and its standard error says how much it is worth. `frechet` is biased upwards in
small sets, about as width / n, so it needs `FRECHET_FACTOR` times as many pictures as the features are wide.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist

from expunge.engine.errors import QualityError

KID_PAIRS = 16
FRECHET_FACTOR = 2


def kid(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """(kernel distance, its standard error) of features [n, width] whose rows are pairs of one prompt and seed.

    The squared maximum mean discrepancy with the kernel (x.y / width + 1)^3 (Binkowski et al., arXiv 1801.01401) as the
    U-statistic over pairs i != j (Gretton et al., JMLR 13, 2012, Lemma 6), which no pair enters with itself: so it is
    unbiased although the rows are paired, 0 for identical pictures, and below 0 by chance for equal distributions. The
    error is the jackknife's over pairs; below 100 pictures it is itself rough. Raises QualityError below `KID_PAIRS`.
    """
    n = _pairs(before, after, KID_PAIRS)
    h = _kernel(before, before) + _kernel(after, after) - _kernel(before, after) - _kernel(after, before)
    np.fill_diagonal(h, 0.0)
    total, rows = h.sum(), h.sum(1)
    without = (total - 2 * rows) / ((n - 1) * (n - 2))
    error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
    return float(total / (n * (n - 1))), float(error)


def frechet(before: np.ndarray, after: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of features [n, width] (Heusel et al., arXiv 1706.08500, eq. 6).

    Raises QualityError below `FRECHET_FACTOR` x width pictures.
    """
    _pairs(before, after, FRECHET_FACTOR * before.shape[1])
    shift = before.mean(0) - after.mean(0)
    first, second = np.cov(before, rowvar=False), np.cov(after, rowvar=False)
    overlap = np.linalg.svd(_root(first) @ _root(second), compute_uv=False).sum()
    return max(0.0, float(shift @ shift + np.trace(first) + np.trace(second) - 2 * overlap))


def paired(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the squared distance of each row [n, values] to the row beside it, [n]."""
    _pairs(before, after, 1)
    return np.square(before - after).sum(1)


def spread(rows: np.ndarray) -> float:
    """Return the mean squared distance between any two of the rows [n, values].

    Raises QualityError on fewer than two rows.
    """
    _pairs(rows, rows, 2)
    return float(pdist(rows, "sqeuclidean").mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(values.clip(0)) @ vectors.T


def _pairs(before: np.ndarray, after: np.ndarray, needed: int) -> int:
    if before.shape != after.shape:
        raise QualityError(
            f"features {before.shape} before and {after.shape} after: draw the same shots with both models"
        )
    if len(before) < needed:
        raise QualityError(f"{len(before)} pictures are too few, {needed} are needed: take more prompts or seeds")
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise QualityError("a feature is NaN or infinite: the network or a picture is broken")
    return len(before)
