"""The concepts that an erasure most likely damages: those that the text encoder or the judge takes for nearly the same.

The text encoder is compared where an edit acts: on the output of the denoiser's value matrices for a concept's last
subject token. The judge is compared on pictures of the unedited model. It may miss whatever it takes the target for,
once the target is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from expunge.engine.families import projections
from expunge.engine.probes.prompts.families import Subject
from expunge.engine.spec import spoken
from expunge.engine.text.encoding import BATCH, encode
from expunge.engine.text.templates import WORDED_AS, Wording, fill, templates

ENCODER, JUDGE = "text encoder", "judge"
WORDINGS = 4
DECIMALS = 4


@runtime_checkable
class Chooser(Protocol):
    """A judge that returns the probability of each of several labels."""

    def probabilities(self, pictures: np.ndarray, labels: Sequence[str], category: str) -> np.ndarray:
        """Return probabilities [n, labels] that add up to 1, for pictures, uint8 [n, height, width, 3]."""
        ...


@dataclass(frozen=True)
class LookAlike:
    """A concept near a target; `scores` by source, where higher is nearer. Compare scores within one source only."""

    name: str
    scores: Mapping[str, float]


def look_alikes(pipeline: Any, target: Subject, candidates: Sequence[str], count: int) -> list[LookAlike]:
    """Return the `count` candidates nearest to the target by the text encoder, nearest first, ties by name.

    A concept is represented by the state of its last subject token, averaged over the first wordings of its category,
    minus the mean over all these concepts. The score is the cosine of the value matrices' outputs for two such states.
    All matrices weigh the same, and the score is averaged over the text streams. The target's own names are no
    candidates.
    """
    names = _others(target, candidates)
    if not names:
        return []
    lines = templates(WORDED_AS[target.category])[:WORDINGS]
    said = [fill(line, name) for name in (target.name, *names) for line in lines]
    cosines = [
        _cosines(_last(pipeline, said, stream).unflatten(0, (-1, len(lines))).mean(1), metric)
        for stream, metric in _metrics(pipeline).items()
    ]
    return _nearest(names, torch.stack(cosines).mean(0).tolist(), count, ENCODER)


def _last(pipeline: Any, said: Sequence[Wording], stream: int) -> Tensor:
    """Return the states of last subject tokens, [n, d]. One batch at a time has the states of all tokens in memory."""
    parts = [said[start : start + BATCH] for start in range(0, len(said), BATCH)]
    return torch.cat([encode(pipeline, part, stream).last() for part in parts])


@torch.no_grad()
def _metrics(pipeline: Any) -> dict[int, Tensor]:
    """Return by text stream the sum M over its value matrices of W^T W / |W|^2, [d, d].

    v^T M v is the squared length that the matrices give to v.
    """
    metrics: dict[int, Tensor] = {}
    for projection in (projection for projection in projections(pipeline) if projection.kind == "value"):
        weight = projection.spoken.float()
        gram = weight.T @ weight / weight.square().sum()
        for stream in projection.streams:
            metrics[stream] = metrics.get(stream, torch.zeros_like(gram)) + gram
    return metrics


def _cosines(concepts: Tensor, metric: Tensor) -> Tensor:
    """Return the cosine of the first concept with each of the others, [concepts, d] to [concepts - 1]."""
    centred = concepts - concepts.mean(0)
    products = centred @ metric.to(centred) @ centred.T
    lengths = products.diagonal().clamp(min=torch.finfo(products.dtype).tiny).sqrt()
    return (products / lengths / lengths[:, None])[0, 1:].cpu()


def confusions(
    judge: Chooser, pictures: np.ndarray, target: Subject, candidates: Sequence[str], count: int
) -> list[LookAlike]:
    """Return the `count` candidates that the judge most often sees in the target's pictures of the unedited model.

    The score is the mean probability that the judge gives the candidate, among the target and all candidates. A
    candidate whose score is at most an even share is no look-alike. Returns none without pictures.
    """
    names = _others(target, candidates)
    if not names or not len(pictures):
        return []
    chances = judge.probabilities(pictures, [target.name, *names], target.category)
    means = dict(zip(names, chances[:, 1:].mean(0).tolist(), strict=True))
    mixed_up = {name: mean for name, mean in means.items() if mean > 1 / (1 + len(names))}
    return _nearest(list(mixed_up), list(mixed_up.values()), count, JUDGE)


def union(*found: Sequence[LookAlike]) -> list[LookAlike]:
    """Return each concept once with the scores of all its sources.

    The concept with the better best place comes first; on ties, one found by several sources.
    """
    places: dict[str, list[int]] = {}
    scores: dict[str, dict[str, float]] = {}
    for group in found:
        for place, item in enumerate(group):
            places.setdefault(item.name, []).append(place)
            scores.setdefault(item.name, {}).update(item.scores)
    order = sorted(places, key=lambda name: (min(places[name]), -len(places[name]), name))
    return [LookAlike(name, scores[name]) for name in order]


def _others(target: Subject, candidates: Sequence[str]) -> list[str]:
    own = {spoken(name) for name in target.names}
    return [name for name in dict.fromkeys(candidates) if spoken(name) not in own]


def _nearest(names: Sequence[str], scores: Sequence[float], count: int, source: str) -> list[LookAlike]:
    rounded = [round(score, DECIMALS) + 0.0 for score in scores]
    ordered = sorted(zip(names, rounded, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return [LookAlike(name, {source: score}) for name, score in ordered[:count]]
