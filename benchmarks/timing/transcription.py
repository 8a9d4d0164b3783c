"""ScaPre's released algorithm in the order of the released script: row after row, the text encoder inside its loops.

Written from the mathematics (`engine/editors/scapre_released.py` states it), not from the script's code. What the
script does in a loop is done in one here: a sample's activations, a row's histogram, a row's mutual information (of
each concept twice, for its values and for the largest mask), a row's Cholesky factorisation; for each matrix every name
is encoded anew beside its anchor, all layers' values of the anchor are computed although one is used, and the outer
products of a name's tokens are laid out before they are summed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.released.rows import COPIES, EPS, MASK_TEMPERATURE, mask_samples, noise
from expunge.engine.editors.scapre_released import LARGEST, OWN, ReleasedSettings, proximal
from expunge.engine.text.encoding import encode


@dataclass
class Transcribed:
    """The edited rows, and seconds in the encoder, on tokens and on rows.

    Encoder and tokens cost a matrix the same whatever its rows.
    """

    rows: Tensor
    encoding: float = 0.0
    tokens: float = 0.0
    solving: float = 0.0

    @contextmanager
    def spending(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        setattr(self, part, getattr(self, part) + time.perf_counter() - start)


@torch.no_grad()
def transcribed(
    pipeline: Any, names: Sequence[str], weight: Tensor, settings: ReleasedSettings, layers: Sequence[Tensor] = ()
) -> Transcribed:
    """Run the script `erase_scale` on the rows of one matrix, in the weight's precision, with the editor's own draws.

    `layers` are the matrices of its kind in all layers, whose values the script computes as well.
    """
    done = Transcribed(torch.empty_like(weight))
    texts = encode(pipeline, list(names))
    subjects, empty = texts.last().to(weight), encode(pipeline, [""]).embeddings[0].to(weight)
    drawn = {use: _copies(use, subjects, settings) for use in (OWN, LARGEST)}
    values, second = torch.zeros_like(weight), torch.zeros(weight.shape[1], weight.shape[1]).to(weight)
    with done.spending("solving"):
        mu = _mean_entropy(weight, subjects, settings)
        largest = [_mask(weight, subjects, empty[1], drawn[LARGEST], k, settings) for k in range(len(names))]
        widest = torch.stack(largest).amax(0)
    for k, name in enumerate(names):
        with done.spending("encoding"):
            states, empty_states = _encoded(pipeline, [name, ""])
        with done.spending("tokens"):
            x = states[int(texts.subjects[k]) :].to(weight)
            y = empty_states[: len(x)].to(weight)
            _ = [layer @ y.T for layer in layers]
            second += (x[:, :, None] @ x[:, None, :]).sum(0)
        with done.spending("solving"):
            outer = ((weight @ y.T).T[:, :, None] @ x[:, None, :]).sum(0)
            values += settings.erase_scale * outer * _mask(weight, subjects, empty[1], drawn[OWN], k, settings)[:, None]
    with done.spending("tokens"):
        system, projector = _system(subjects, second, mu, settings), _projector(subjects)
    with done.spending("solving"):
        solved = torch.empty_like(weight)
        for i in range(len(weight)):
            lower = torch.linalg.cholesky(system + settings.erase_scale * float(widest[i]) * projector)
            right = (settings.lamb + mu) * weight[i] + values[i]
            solved[i] = torch.cholesky_solve(right[:, None], lower)[:, 0]
        done.rows = proximal(weight, solved, mu, settings.lamb + mu, settings.steps)
    return done


def _encoded(pipeline: Any, texts: Sequence[str]) -> Tensor:
    """Encode by the encoder itself, on all the threads it may have, as the script calls it; [texts, tokens, d]."""
    ids = pipeline.tokenizer(list(texts), padding="max_length", return_tensors="pt").input_ids
    return pipeline.text_encoder(ids).last_hidden_state


def _copies(use: str, subjects: Tensor, settings: ReleasedSettings) -> Tensor:
    return settings.noise * noise(use, settings.seed, (2, len(subjects), COPIES, subjects.shape[1]), subjects)


def _mean_entropy(weight: Tensor, subjects: Tensor, settings: ReleasedSettings) -> float:
    """Return the mean entropy of the rows' activations by noisy copies of the concepts.

    Its unit is the logarithm of the number of bins.
    """
    shape = (len(subjects), settings.entropy_samples, weight.shape[1])
    drawn = settings.noise * noise("entropy", settings.seed, shape, weight)
    samples = (subject + copy for subject, copies in zip(subjects, drawn, strict=True) for copy in copies)
    activations = torch.cat([(weight @ sample)[:, None] for sample in samples], 1)
    low, high = activations.aminmax(dim=1, keepdim=True)
    activations = (activations - low) / (high - low + EPS)
    entropy = torch.zeros(len(weight)).to(weight)
    for i in range(len(weight)):
        counts = torch.histc(activations[i], settings.entropy_bins, 0.0, 1.0)
        share = counts / (counts.sum() + EPS)
        entropy[i] = -(share * (share + EPS).log()).sum() / math.log(settings.entropy_bins)
    return entropy.clamp(0, 1).mean().item()


def _mask(weight: Tensor, subjects: Tensor, empty: Tensor, drawn: Tensor, k: int, settings: ReleasedSettings) -> Tensor:
    """[d_out] of concept `k`."""
    activations = weight @ mask_samples(subjects[k : k + 1], empty, drawn[:, k : k + 1])[:, :, 0]
    above = activations > activations.median(1, keepdim=True).values
    concept = torch.arange(2 * COPIES) < COPIES
    information = torch.zeros(len(weight)).to(weight)
    for i in range(len(weight)):
        information[i] = _nats(above[i], concept, weight)
    scores = (information - information.mean()) / (information.std() + EPS)
    return torch.sigmoid(scores / MASK_TEMPERATURE) ** settings.exponent


def _nats(above: Tensor, concept: Tensor, like: Tensor) -> Tensor:
    """Mutual information of one row's activations, above their median or not, and what the samples are of."""
    cells = [((above == high) & (concept == own)).sum().to(like) for high in (True, False) for own in (True, False)]
    a, b, c, d = ((cell + EPS) / len(above) for cell in cells)
    total = a * torch.log(a / ((a + b) * (a + c))) + b * torch.log(b / ((a + b) * (b + d)))
    return total + c * torch.log(c / ((c + d) * (a + c))) + d * torch.log(d / ((c + d) * (b + d)))


def _system(subjects: Tensor, second: Tensor, mu: float, settings: ReleasedSettings) -> Tensor:
    """(lam + mu) I + R + C C^T + s sum x x^T."""
    vectors, sizes, _ = torch.linalg.svd(subjects.T, full_matrices=False)
    gate = torch.sigmoid((sizes - sizes.median()) / (settings.temperature + EPS)) ** settings.gate
    total = (settings.lamb + mu) * torch.eye(len(vectors)).to(subjects) + mu * (vectors * (1 - gate)) @ vectors.T
    return total + subjects.T @ subjects + settings.erase_scale * second


def _projector(subjects: Tensor) -> Tensor:
    """Onto the span of the concepts."""
    return subjects.T @ torch.linalg.inv(subjects @ subjects.T + EPS * torch.eye(len(subjects)).to(subjects)) @ subjects
