"""The matrix products that an editor's formula cannot do without, timed bare: what its closed form is measured against.

The names here have one anchor, so what becomes the same anchor token is summed before it is multiplied: for `scapre`
one moment of the targets' tokens, two of the anchor's, and one product a matrix, since with its defaults every row is
treated alike; its own parts, where they are on, need more. For `scapre-released` the tokens' covariance, the tokens in
the eigenbasis, what a matrix makes of the anchor's, the activations of which it takes entropy and mutual information,
and two products a matrix between its right side and the shared eigenvectors. That few rows have another mask than most
is no matter of the formula, so their sums over tokens are not counted. Sizes are those of the case, numbers random,
precision the editor's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from benchmarks.timing.plans import settle
from expunge.engine.editors.released.rows import COPIES
from expunge.engine.editors.scapre import ScapreSettings
from expunge.engine.editors.scapre_released import ReleasedSettings

SAMPLES, DEFAULTS = ReleasedSettings.entropy_samples, ScapreSettings()


@dataclass(frozen=True)
class Product:
    """[m, k] times [k, n]."""

    m: int
    k: int
    n: int
    dtype: torch.dtype

    @property
    def operations(self) -> int:
        return 2 * self.m * self.k * self.n


def products(editor: str, rows: Sequence[int], d: int, concepts: int, tokens: int) -> Iterator[Product]:
    """Return the products of one plan: matrices of `rows` by d, `concepts` of `tokens` tokens in all.

    Raises KeyError where no floor is stated.
    """
    yield from {"scapre": scapre, "scapre-released": _released}[editor](rows, d, concepts, tokens)


def seconds(needed: Sequence[Product], device: str = "cpu", repeats: int = 3) -> float:
    """Return the least time, of `repeats`, that all of the products take one after the other."""
    drawn = torch.Generator().manual_seed(0)
    sizes = {(p.m, p.k, p.dtype) for p in needed} | {(p.k, p.n, p.dtype) for p in needed}
    matrices = {size: torch.randn(size[:2], generator=drawn).to(device, size[2]) for size in sorted(sizes, key=str)}
    times = []
    for _ in range(repeats):
        settle(device)
        start = time.perf_counter()
        for p in needed:
            torch.mm(matrices[p.m, p.k, p.dtype], matrices[p.k, p.n, p.dtype])
        settle(device)
        times.append(time.perf_counter() - start)
    return min(times)


def scapre(
    rows: Sequence[int], d: int, concepts: int, tokens: int, settings: ScapreSettings = DEFAULTS
) -> Iterator[Product]:
    """Yield the products of `scapre` with the parts that `settings` switch on.

    The spectral part has one. The mask, which tells rows apart, has activations by the concepts and what they become,
    so rows go into the eigenbasis and back. The geometry has at each turn the matrix that is decomposed, its polar
    factor, and the rows turned by it, into the basis and back.
    """
    turns = settings.geometry_turns + 1 if settings.geometry else 0
    yield Product(d, tokens, d, torch.float64)
    yield from [Product(d, tokens // concepts, d, torch.float64)] * 2
    yield from [Product(d, concepts, d, torch.float64)] * bool(settings.spectral)
    for r in rows:
        yield Product(r, d, d, torch.float64)
        yield from [Product(r, d, 2 * concepts, torch.float64)] * bool(settings.informax)
        yield from [Product(r, d, d, torch.float64)] * (3 * turns or bool(settings.informax))
        yield from [Product(d, r, d, torch.float64), Product(d, d, d, torch.float64)] * turns


def _released(rows: Sequence[int], d: int, concepts: int, tokens: int) -> Iterator[Product]:
    yield Product(d, tokens, d, torch.float64)
    yield Product(tokens, d, d, torch.float64)
    for r in rows:
        yield from [Product(r, d, d, torch.float32)] * 2
        yield Product(r, d, tokens // concepts, torch.float32)
        yield Product(r, tokens // concepts, d, torch.float32)
        yield from [Product(r, d, 2 * COPIES * concepts, torch.float32)] * 2
        yield Product(r, d, SAMPLES * concepts, torch.float32)
