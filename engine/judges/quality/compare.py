"""What an edit did to what it should keep: one model before, another after, the same prompts and seeds.

Averages hide a local collapse, so three things are always named beside them: the pair of pictures that lie farthest
apart, the prompt whose pictures became most alike, and the kept concept that dropped most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from expunge.canonical_json import canonical_json
from expunge.engine.errors import QualityError
from expunge.engine.files.reading.strict_json import parse_json
from expunge.engine.judges.base import fault
from expunge.engine.judges.networks.clip_features import ClipNetwork
from expunge.engine.judges.quality.distances import FRECHET_FACTOR, frechet, kid, paired, spread
from expunge.engine.models.sampling import Shot
from expunge.engine.stats.estimates import rounded
from expunge.engine.stats.evidence.table import ARMS, check
from expunge.engine.stats.pairing import pairs_of

Drawn = Callable[[Shot], np.ndarray]
"""From a shot to its picture, uint8 [height, width, 3]; a picture store's `read` behind a `picture_key`, say."""
Arms = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Shift:
    before: float
    after: float


@dataclass(frozen=True)
class Farthest:
    """The pair of pictures that lie farthest apart."""

    prompt: str
    seed: int
    distance: float


@dataclass(frozen=True)
class Collapse:
    """The prompt whose pictures lost the largest share of their diversity."""

    prompt: str
    diversity: Shift


@dataclass(frozen=True)
class WorstKept:
    """The kept concept that dropped most: shares seen, and its pair of pictures, by pixel digest, that lost most."""

    concept: str
    role: str
    category: str
    seen: Shift
    prompt: str
    seed: int
    picture: dict[str, str]


@dataclass(frozen=True)
class Quality:
    """Figures over `pictures` pairs of `prompts` general prompts, by the features of the network `network` (digest).

    `clip_score` is 100 x cosine of picture and prompt; `kid` the kernel distance with its standard error; `frechet`
    None where the pictures are too few for it; `distance` the mean LPIPS-like distance of pairs; `diversity` the mean
    such distance among the seeds of one prompt.
    """

    network: str
    prompts: int
    pictures: int
    clip_score: Shift
    kid: float
    kid_error: float
    frechet: float | None
    distance: float
    farthest: Farthest
    diversity: Shift
    collapse: Collapse
    worst: WorstKept

    def to_json(self) -> str:
        """Canonical JSON; floats carry six places already."""
        return canonical_json(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises ValueError, KeyError or TypeError on anything else."""
        raw = parse_json(text.encode())
        shifts = {name: Shift(**raw[name]) for name in ("clip_score", "diversity")}
        collapse = Collapse(raw["collapse"]["prompt"], Shift(**raw["collapse"]["diversity"]))
        worst = WorstKept(**{**raw["worst"], "seen": Shift(**raw["worst"]["seen"])})
        return cls(**{**raw, **shifts, "farthest": Farthest(**raw["farthest"]), "collapse": collapse, "worst": worst})


@dataclass(frozen=True)
class _Prompt:
    """One prompt's pictures measured in both arms; arrays have a row a seed."""

    prompt: str
    seeds: list[int]
    pooled: Arms
    agreement: Arms
    distance: np.ndarray
    diversity: Shift


def compare(
    network: ClipNetwork, shots: Sequence[Shot], before: Drawn, after: Drawn, evidence: pd.DataFrame
) -> Quality:
    """Measure general `shots`, at least two seeds a prompt, and find the worst kept concept of an evidence table.

    Pictures are read prompt by prompt. Raises QualityError where pictures are too few, faulty or not comparable, and
    where the evidence is unfit or keeps nothing.
    """
    prompts = [
        _measure(network, prompt, [shot.seed for shot in group], before, after)
        for prompt, group in groupby(sorted(set(shots)), key=lambda shot: shot.prompt)
    ]
    if not prompts:
        raise QualityError("no general prompt was drawn: give some, with two seeds or more each")
    pooled = _joined(prompt.pooled for prompt in prompts)
    distance, error = kid(*pooled)
    enough = len(pooled[0]) >= FRECHET_FACTOR * pooled[0].shape[1]
    return Quality(
        network=network.digest,
        prompts=len(prompts),
        pictures=len(pooled[0]),
        clip_score=_mean_shift(*_joined(prompt.agreement for prompt in prompts)),
        kid=rounded(distance),
        kid_error=rounded(error),
        frechet=rounded(frechet(*pooled)) if enough else None,
        distance=rounded(np.concatenate([prompt.distance for prompt in prompts]).mean()),
        farthest=max((_farthest(prompt) for prompt in prompts), key=lambda pair: (pair.distance, pair.prompt)),
        diversity=_mean_shift([p.diversity.before for p in prompts], [p.diversity.after for p in prompts]),
        collapse=_collapse(prompts),
        worst=worst_kept(evidence),
    )


def worst_kept(evidence: pd.DataFrame) -> WorstKept:
    """Return the kept concept with the largest drop in the share seen, by score where shares tie.

    Raises QualityError if the evidence is unfit.
    """
    if problems := check(evidence, len(evidence)):
        raise QualityError("no worst kept concept: " + "; ".join(problems))
    pairs = pairs_of(evidence, "score", "picture").query("role != 'target'")
    by_concept: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for pair in pairs.to_dict("records"):
        by_concept[pair["concept"]].append(pair)
    if not by_concept:
        raise QualityError("no worst kept concept: the evidence keeps none; examine look-alikes or general concepts")
    concept, own = max(by_concept.items(), key=lambda item: (*np.mean([_loss(pair) for pair in item[1]], 0), item[0]))
    lost = max(own, key=lambda pair: (*_loss(pair), pair["prompt"], pair["seed"]))
    return WorstKept(
        concept=concept,
        role=lost["role"],
        category=lost["category"],
        seen=_mean_shift([pair["seen_before"] for pair in own], [pair["seen_after"] for pair in own]),
        prompt=lost["prompt"],
        seed=lost["seed"],
        picture={arm: lost[f"picture_{arm}"] for arm in ARMS},
    )


def _loss(pair: dict[str, Any]) -> tuple[float, float]:
    """Return what a pair lost: of being seen, and of score."""
    return float(pair["seen_before"]) - float(pair["seen_after"]), pair["score_before"] - pair["score_after"]


def _measure(network: ClipNetwork, prompt: str, seeds: list[int], before: Drawn, after: Drawn) -> _Prompt:
    if len(seeds) < 2:
        raise QualityError(f"prompt {prompt!r} has one seed: diversity needs two or more of each prompt")
    first, second = (network.features(_stack(prompt, seeds, drawn)) for drawn in (before, after))
    text = network.texts([prompt]).double().numpy()[0]
    return _Prompt(
        prompt=prompt,
        seeds=seeds,
        pooled=(first.pooled, second.pooled),
        agreement=(100 * first.joint @ text, 100 * second.joint @ text),
        distance=paired(first.perceptual, second.perceptual),
        diversity=Shift(spread(first.perceptual), spread(second.perceptual)),
    )


def _stack(prompt: str, seeds: Sequence[int], drawn: Drawn) -> np.ndarray:
    pictures = [drawn(Shot(prompt, seed)) for seed in seeds]
    for seed, picture in zip(seeds, pictures, strict=True):
        if problem := fault(picture):
            raise QualityError(f"{problem} of prompt {prompt!r}, seed {seed}: no quality can be read from it")
    return np.stack(pictures)


def _joined(arms: Iterable[Arms]) -> Arms:
    """Return the prompts' arrays one after the other, in each arm."""
    before, after = zip(*arms, strict=True)
    return np.concatenate(before), np.concatenate(after)


def _farthest(prompt: _Prompt) -> Farthest:
    place = int(prompt.distance.argmax())
    return Farthest(prompt.prompt, prompt.seeds[place], rounded(prompt.distance[place]))


def _collapse(prompts: Sequence[_Prompt]) -> Collapse:
    def lost(prompt: _Prompt) -> float:
        diversity = prompt.diversity
        return (diversity.before - diversity.after) / diversity.before if diversity.before else 0.0

    worst = max(prompts, key=lambda prompt: (lost(prompt), prompt.prompt))
    return Collapse(worst.prompt, Shift(rounded(worst.diversity.before), rounded(worst.diversity.after)))


def _mean_shift(before: ArrayLike, after: ArrayLike) -> Shift:
    return Shift(rounded(np.asarray(before, float).mean()), rounded(np.asarray(after, float).mean()))
