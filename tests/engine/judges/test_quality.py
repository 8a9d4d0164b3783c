"""Quality of what is kept: each figure is zero where nothing changed and moves where, and only where, something did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from expunge.engine.emoji import CLIP_JUDGE
from expunge.engine.emoji.catalogue import OBJECTS
from expunge.engine.emoji.training import pictures
from expunge.engine.emoji.training.stages.train_clip import augmented
from expunge.engine.emoji.training.stages.train_clip import drawn as all_drawn
from expunge.engine.errors import QualityError
from expunge.engine.judges.networks.clip_features import ClipNetwork
from expunge.engine.judges.quality.compare import Drawn, Quality, compare, worst_kept
from expunge.engine.judges.quality.distances import KID_PAIRS, frechet, kid, paired, spread
from expunge.engine.models.picture_store import pixel_digest
from expunge.engine.models.sampling import Shot
from expunge.engine.stats.evidence.table import Row, table

PROMPTS = ("banana", "guitar", "panda", "rocket", "tractor")
NAMES = {item.name: place for place, item in enumerate(OBJECTS)}


@cache
def network() -> ClipNetwork:
    return ClipNetwork(CLIP_JUDGE)


@cache
def shown() -> np.ndarray:
    return pictures.load()


def drawn(shot: Shot) -> np.ndarray:
    """The model before: what the prompt names, in the style that the seed picks."""
    return shown()[NAMES[shot.prompt], shot.seed]


def row(concept: str, arm: str, seen: bool, score: float, seed: int = 0, role: str = "look_alike") -> Row:
    content = pixel_digest(np.full((2, 2, 3), seed + (100 if arm == "after" else 0), np.uint8))
    return Row(concept, role, "object", "name", f"a {concept}", seed, arm, seen, score, content)


def evidence(after: Callable[[str, int], bool]) -> pd.DataFrame:
    rows = [
        row("tiger", arm, arm == "before", 0.9 if arm == "before" else 0.0, role="target")
        for arm in ("before", "after")
    ]
    for concept in PROMPTS:
        for seed in range(4):
            kept = after(concept, seed)
            rows += [row(concept, "before", True, 0.9, seed), row(concept, "after", kept, 0.9 if kept else 0.1, seed)]
    return table(rows)


KEPT = evidence(lambda concept, seed: True)
SHOTS = [Shot(prompt, seed) for prompt in PROMPTS for seed in range(4)]


def measured(after: Drawn, rows: pd.DataFrame = KEPT) -> Quality:
    return compare(network(), SHOTS, drawn, after, rows)


def test_an_unchanged_model_scores_zero_everywhere() -> None:
    same = measured(drawn)
    assert (same.kid, same.kid_error, same.distance, same.farthest.distance) == (0, 0, 0, 0)
    assert same.clip_score.before == same.clip_score.after
    assert same.diversity.before == same.diversity.after > 0
    assert (same.prompts, same.pictures, same.frechet) == (5, 20, None)
    assert same.network == network().digest


def test_pictures_that_match_their_prompts_have_the_higher_clip_score() -> None:
    shifted = measured(lambda shot: drawn(Shot(PROMPTS[PROMPTS.index(shot.prompt) - 1], shot.seed)))
    assert shifted.clip_score.before > shifted.clip_score.after + 10
    assert shifted.distance > 0


def test_one_replaced_prompt_is_named_as_the_farthest() -> None:
    changed = measured(lambda shot: shown()[NAMES["cat"], shot.seed] if shot.prompt == "rocket" else drawn(shot))
    assert changed.farthest.prompt == "rocket"
    assert 0 < changed.distance < changed.farthest.distance


def test_collapsed_pictures_lose_their_diversity_and_the_prompt_is_named() -> None:
    collapsed = measured(lambda shot: drawn(replace(shot, seed=0)) if shot.prompt == "panda" else drawn(shot))
    assert collapsed.collapse.prompt == "panda"
    assert collapsed.collapse.diversity.before > 0 == collapsed.collapse.diversity.after
    assert collapsed.diversity.after == pytest.approx(
        collapsed.diversity.before - collapsed.collapse.diversity.before / len(PROMPTS), abs=2e-6
    )


def test_the_concept_that_was_replaced_is_the_worst_kept_with_its_lost_picture() -> None:
    worst = worst_kept(evidence(lambda concept, seed: concept != "guitar" or seed != 2))
    assert (worst.concept, worst.role, worst.category, worst.seed) == ("guitar", "look_alike", "object", 2)
    assert (worst.seen.before, worst.seen.after) == (1.0, 0.75)
    assert worst.picture == {arm: row("guitar", arm, True, 1, 2).picture for arm in ("before", "after")}


def test_where_no_share_dropped_the_faded_one_is_the_worst_kept() -> None:
    faded = KEPT.assign(score=KEPT["score"].where((KEPT["concept"] != "banana") | (KEPT["arm"] == "before"), 0.6))
    assert worst_kept(faded).concept == "banana"


def test_the_worst_kept_is_never_read_from_unfit_evidence() -> None:
    targets = pd.DataFrame(KEPT[KEPT["role"] == "target"])
    with pytest.raises(QualityError, match="keeps none"):
        worst_kept(targets)
    with pytest.raises(QualityError, match="lack an arm"):
        worst_kept(pd.DataFrame(KEPT[KEPT["arm"] == "before"]))
    with pytest.raises(QualityError, match="not a finite number"):
        worst_kept(KEPT.assign(score=np.nan))


@pytest.mark.parametrize(("shots", "why"), [
    ([], "no general prompt"),
    ([Shot("panda", 0)], "one seed"),
    (SHOTS[: KID_PAIRS // 2], "pictures are too few"),
])  # fmt: skip
def test_too_few_pictures_are_an_error(shots: list[Shot], why: str) -> None:
    with pytest.raises(QualityError, match=why):
        compare(network(), shots, drawn, drawn, KEPT)


def test_a_black_picture_is_an_error_that_names_it() -> None:
    black = Shot("panda", 3)
    with pytest.raises(QualityError, match="black picture of prompt 'panda', seed 3"):
        measured(lambda shot: np.zeros((64, 64, 3), np.uint8) if shot == black else drawn(shot))


def test_what_was_measured_survives_its_json() -> None:
    found = measured(lambda shot: drawn(replace(shot, seed=(shot.seed + 1) % 4)))
    assert Quality.from_json(found.to_json()) == found
    assert Quality.from_json(found.to_json()).to_json() == found.to_json()


def noise(seed: int, n: int, width: int = 6, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)) + shift


def test_kid_of_one_distribution_is_zero_within_its_error_and_of_two_is_not() -> None:
    equal, error = kid(noise(0, 300), noise(1, 300))
    assert abs(equal) < 3 * error
    apart, error = kid(noise(0, 300), noise(1, 300, shift=0.5))
    assert apart > 5 * error


def test_kid_is_unbiased_in_small_samples_and_its_error_is_the_spread() -> None:
    equal = np.array([kid(noise(2 * trial, 20), noise(2 * trial + 1, 20))[0] for trial in range(300)])
    plain = np.array([_plain(noise(2 * trial, 20), noise(2 * trial + 1, 20)) for trial in range(300)])
    standard = equal.std() / len(equal) ** 0.5
    assert abs(equal.mean()) < 3 * standard
    assert plain.mean() > 10 * standard, "the plain estimate shows the bias that ours has not"
    apart = [kid(noise(2 * trial, 60), noise(2 * trial + 1, 60, shift=1.0)) for trial in range(100)]
    assert np.mean([error for _, error in apart]) == pytest.approx(np.std([value for value, _ in apart]), rel=0.35)


def _plain(x: np.ndarray, y: np.ndarray) -> float:
    """The estimate that pairs every picture with itself too."""
    means = [((a @ b.T / a.shape[1] + 1) ** 3).mean() for a, b in ((x, x), (y, y), (x, y))]
    return float(means[0] + means[1] - 2 * means[2])


def moved(objects: slice, seed: int) -> np.ndarray:
    """Features of some objects in two styles, each picture under its own random change."""
    changed = augmented(all_drawn()[objects, :2].flatten(0, 1), torch.Generator().manual_seed(seed))
    return network().features(((changed.permute(0, 2, 3, 1) + 1) * 127.5).to(torch.uint8).numpy()).pooled


def test_kid_of_pictures_tells_other_objects_from_other_views_of_the_same() -> None:
    same, again, others = moved(slice(0, 24), 1), moved(slice(0, 24), 2), moved(slice(60, 84), 3)
    near, far = kid(same, again), kid(same, others)
    assert abs(near[0]) < 3 * near[1]
    assert far[0] > 3 * far[1]


def test_frechet_is_that_of_gaussians_and_wants_enough_pictures() -> None:
    x = noise(3, 4000, 4)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + 2) == pytest.approx(16, rel=1e-9)
    assert frechet(x, 3 * x) == pytest.approx(
        float(np.square(2 * x.mean(0)).sum() + 4 * np.trace(np.cov(x.T))), rel=1e-9
    )
    with pytest.raises(QualityError, match="7 pictures are too few, 8 are needed"):
        frechet(x[:7], x[:7])


def test_distances_want_finite_features_of_the_same_shots() -> None:
    x = noise(4, 20)
    assert not paired(x, x).any()
    assert spread(x) > 0 == spread(np.ones((3, 2)))
    broken = x.copy()
    broken[3, 3] = np.nan
    for call in (lambda: kid(x, broken), lambda: paired(broken, x), lambda: spread(broken), lambda: frechet(x, broken)):
        with pytest.raises(QualityError, match="NaN or infinite"):
            call()
    with pytest.raises(QualityError, match="the same shots"):
        kid(x, x[:-1])
    with pytest.raises(QualityError, match="1 pictures are too few, 2 are needed"):
        spread(x[:1])


def test_the_perceptual_distance_grows_with_the_change_and_stays_in_its_range() -> None:
    clean = shown()[::20, 0].astype(np.float64)
    generator = np.random.default_rng(5)
    grain = generator.normal(size=clean.shape)
    noisy = [(clean + level * grain).clip(0, 255).astype(np.uint8) for level in (0, 20, 80)]
    first, *_ = vectors = [network().features(shots).perceptual for shots in noisy]
    steps = [paired(first, other).mean() for other in vectors]
    assert steps[0] == 0 < steps[1] < steps[2] < 4


def test_one_look_gives_the_same_vectors_as_a_judge_uses() -> None:
    some = shown()[:3, 1]
    found = network().features(some)
    assert np.allclose(found.joint, network().pictures(some).numpy(), atol=1e-6)
    assert np.allclose(np.linalg.norm(found.joint, axis=1), 1, atol=1e-6)
    assert np.allclose(np.square(found.perceptual).sum(1), 1, atol=1e-5), "unit patches, averaged"
    assert found.pooled.shape == (3, 192)
