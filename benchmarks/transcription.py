"""ScaPre's released algorithm at the pace of the released script: the text encoder inside its loops, row after row.

Written from the mathematics (`engine/editors/scapre_released.py` states it), not from the script's code, and kind to
it: each concept and its anchor are encoded once a matrix, entropies and masks are taken for all rows of a matrix at
once, so that only the systems and the proximal step, one Cholesky factorisation a row, are left in the loop over rows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.editors.released_rows import COPIES, EPS, mask_samples, noise, row_entropy, soft_masks
from engine.editors.scapre_released import LARGEST, OWN, ReleasedSettings
from engine.text import Encoded, encode


@dataclass(frozen=True)
class Transcribed:
    """The edited rows, and seconds: what a matrix costs whatever its rows (encoder), and the rest."""

    rows: Tensor
    encoding: float
    solving: float


@torch.no_grad()
def transcribed(pipeline: Any, names: list[str], weight: Tensor, settings: ReleasedSettings) -> Transcribed:
    """The script `erase_scale` on the rows of one matrix, in the weight's precision, with the editor's own draws."""
    start = time.perf_counter()
    texts = [encode(pipeline, [name]) for name in names]
    empty = [encode(pipeline, [""]).embeddings[0].to(weight) for _ in names][-1]
    encoded = time.perf_counter()
    x = [_tail(text).to(weight) for text in texts]
    subjects = torch.stack([tokens[0] for tokens in x])
    shape = (len(names), settings.entropy_samples, weight.shape[1])
    samples = subjects[:, None] + settings.noise * noise("entropy", settings.seed, shape, weight)
    mu = row_entropy(weight, samples.flatten(0, 1), settings.entropy_bins).mean()
    own, largest = (_masks(weight, subjects, empty[1], use, settings) for use in (OWN, LARGEST))
    values = torch.zeros_like(weight)
    for k, tokens in enumerate(x):
        values += settings.erase_scale * own[:, k, None] * (weight @ empty[: len(tokens)].T) @ tokens
    system = _system(subjects, x, mu, settings)
    pi = subjects.T @ torch.linalg.inv(subjects @ subjects.T + EPS * torch.eye(len(names)).to(weight)) @ subjects
    widest = largest.amax(1)
    rows = torch.empty_like(weight)
    for i in range(len(weight)):
        lower = torch.linalg.cholesky(system + settings.erase_scale * widest[i] * pi)
        right = (settings.lamb + mu) * weight[i] + values[i]
        solved = torch.cholesky_solve(right[:, None], lower)[:, 0]
        rows[i] = _proximal(weight[i], solved, mu, settings)
    return Transcribed(rows, encoded - start, time.perf_counter() - encoded)


def _tail(text: Encoded) -> Tensor:
    """Tokens from the last of the subject to the end of the padding."""
    return text.embeddings[0, int(text.subjects[0]) :]


def _masks(weight: Tensor, subjects: Tensor, empty: Tensor, use: str, settings: ReleasedSettings) -> Tensor:
    """[d_out, m], concept after concept."""
    drawn = settings.noise * noise(use, settings.seed, (2, len(subjects), COPIES, weight.shape[1]), weight)
    columns = [
        soft_masks(weight, mask_samples(subjects[k : k + 1], empty, drawn[:, k : k + 1]), settings.exponent)
        for k in range(len(subjects))
    ]
    return torch.cat(columns, 1)


def _system(subjects: Tensor, x: list[Tensor], mu: Tensor, settings: ReleasedSettings) -> Tensor:
    """(lam + mu) I + R + C C^T + s sum x x^T."""
    vectors, sizes, _ = torch.linalg.svd(subjects.T, full_matrices=False)
    gate = torch.sigmoid((sizes - sizes.median()) / (settings.temperature + EPS)) ** settings.gate
    total = (settings.lamb + mu) * torch.eye(len(vectors)).to(subjects) + mu * (vectors * (1 - gate)) @ vectors.T
    total = total + subjects.T @ subjects
    for tokens in x:
        total = total + settings.erase_scale * tokens.T @ tokens
    return total


def _proximal(row: Tensor, solved: Tensor, mu: Tensor, settings: ReleasedSettings) -> Tensor:
    """One row moved towards the original along the geodesic."""
    pull, size, size0 = settings.lamb + mu, solved.norm().clamp_min(EPS), row.norm().clamp_min(EPS)
    length, direction, direction0 = size, solved / size, row / size0
    for _ in range(settings.steps):
        alike = (direction @ direction0).clamp_min(0)
        length = (pull * size + mu * size0 * alike) / (pull + mu)
        turned = pull * solved + mu * size0 * alike * direction0
        direction = turned / turned.norm().clamp_min(EPS)
    return length * direction
