"""Pictures are completed from starts that show the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForImage2Image, StableDiffusionImg2ImgPipeline
from PIL import Image

from expunge.engine.judges import Sighting
from expunge.engine.models.sampling import Sampler, Shot, generate
from expunge.engine.probes.attacks import remains
from expunge.engine.probes.attacks.start_picture import completed
from tests.engine.families import tiny_families
from tests.engine.models.small_memory import small_memory
from tests.engine.probes.attacks.tiny_attacks import CAT, FAMILIES, SAMPLER, BrightJudge

STARTED = {
    **{name: FAMILIES[name] for name in ("sd", "sd3", "flux")},
    "z-image": tiny_families.z_image,
    "qwen-image": tiny_families.qwen_image,
}
GUIDED: dict[str, dict[str, Any]] = {  # with guidance 2, where 1 is none
    "sd": {"guidance_scale": 2.0},
    "z-image": {"guidance_scale": 1.0},
    "qwen-image": {"true_cfg_scale": 2.0, "negative_prompt": " "},
}


def test_with_little_noise_the_words_hardly_matter(pipeline: Any, references: np.ndarray) -> None:
    """Why a strength must be calibrated: the less is drawn anew, the less it says about what the model knows."""
    sampler = Sampler(steps=10, guidance=8.0)

    def said(strength: float) -> float:
        one, other = (completed(pipeline, references, prompt, strength, sampler, 0) for prompt in ("dog", "cat"))
        return abs(one.astype(float) - other).mean()

    assert said(0.1) < 0.5 * said(1.0)


def test_what_remains_is_the_share_of_starts_that_are_seen_without_words(pipeline: Any, references: np.ndarray) -> None:
    sampler, strengths, shown = Sampler(steps=10), (0.1, 1.0), []

    class Noting(BrightJudge):
        def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
            shown.append(pictures)
            return super().look(pictures, concepts, category)

    wordless = [completed(pipeline, references, "", strength, sampler, 7) for strength in strengths]
    judge = Noting(wordless[0].mean())
    found = remains(pipeline, judge, CAT, references, strengths, sampler, seed=7)
    np.testing.assert_array_equal(shown, wordless)
    assert found == {
        strength: np.mean(starts.mean((1, 2, 3)) > judge.limit)
        for strength, starts in zip(strengths, wordless, strict=True)
    }
    assert found[0.1] == 0.5, "one of two starts is brighter than the two of them"


@pytest.mark.parametrize("family", STARTED)
def test_a_start_is_never_noised_away_altogether(family: str) -> None:
    """Where nothing of the start were left, the attack would be the prompt alone, and withstanding it no proof."""
    model, sampler = STARTED[family](), Sampler(steps=4, guidance=1.0)
    ((_, picture),) = generate(model, [Shot("cat", 0)], SAMPLER)
    dark, bright = (np.full((1, *picture.shape), value, np.uint8) for value in (0, 255))
    one, other = (completed(model, start, "dog", 1.0, sampler, 0).astype(int) for start in (dark, bright))
    assert abs(one - other).max() > 0


def test_a_start_has_its_seed_whatever_the_batch(pipeline: Any, references: np.ndarray) -> None:
    whole = completed(pipeline, references, "dog", 0.5, Sampler(steps=2, batch=2), 7)
    alone = completed(pipeline, references, "dog", 0.5, Sampler(steps=2, batch=1), 7)
    assert abs(whole.astype(int) - alone.astype(int)).max() <= 1


@pytest.mark.parametrize(("family", "guided"), GUIDED.items())
def test_a_start_is_completed_as_by_the_pipeline_that_is_asked_by_prompt(family: str, guided: dict[str, Any]) -> None:
    model, sampler = STARTED[family](), Sampler(steps=4, guidance=2.0)
    ((_, picture),) = generate(model, [Shot("cat", 0)], SAMPLER)
    height, width = picture.shape[:2]
    asked = AutoPipelineForImage2Image.from_pipe(model)
    for name in vars(asked).keys() & {"prompt_template_encode_start_idx"}:
        setattr(asked, name, getattr(model, name))
    how = {
        "num_inference_steps": 4,
        "strength": 0.5,
        "generator": torch.Generator().manual_seed(7),
        "output_type": "np",
    }
    size = {"height": height, "width": width} if family != "sd" else {}
    expected = asked(prompt="dog", image=[Image.fromarray(picture)], **how, **size, **guided).images
    assert np.abs(completed(model, picture[None], "dog", 0.5, sampler, 7) - 255 * expected).max() <= 1


def test_starts_that_do_not_fit_into_memory_at_once_are_completed_in_halves(
    pipeline: Any, references: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = completed(pipeline, references, "dog", 0.5, Sampler(steps=2), 7)
    memory = small_memory(monkeypatch, StableDiffusionImg2ImgPipeline, most=1)
    halved = completed(pipeline, references, "dog", 0.5, Sampler(steps=2), 7)
    assert memory.sizes[0] == len(references) > 1
    assert memory.sizes.count(1) == len(references)
    assert np.abs(whole.astype(int) - halved).max() <= 1
