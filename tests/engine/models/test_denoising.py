"""What a denoiser is to predict leads back to the picture, or is refused."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, EDMDPMSolverMultistepScheduler

from expunge.engine.editors.training import denoiser
from expunge.engine.errors import UnknownArchitecture
from expunge.engine.models.denoising import noised
from tests.engine import tiny
from tests.engine.families import tiny_families


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_true_prediction_recovers_the_latents(kind: str) -> None:
    """Whatever is to be predicted, the scheduler's own formula takes it back to the picture."""
    pipeline = tiny.pipeline()
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)  # type: ignore[arg-type]
    scheduler.set_timesteps(1000)
    pipeline.scheduler = scheduler
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    task = noised(pipeline, latents, torch.Generator().manual_seed(1))
    for place, time in enumerate(task.times):
        _, recovered = scheduler.step(task.goal[[place]], int(time), task.noisy[[place]], return_dict=False)  # type: ignore[arg-type]
        torch.testing.assert_close(recovered[0], latents[place], rtol=1e-3, atol=1e-3)


def test_a_flow_leads_from_the_picture_to_noise() -> None:
    pipeline = tiny_families.sd3()
    latents = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    task = noised(pipeline, latents, torch.Generator().manual_seed(1))
    level = (task.times / 1000)[:, None, None, None]
    torch.testing.assert_close(task.noisy - level * task.goal, latents)
    assert sorted((task.times // 250).int().tolist()) == [0, 1, 2, 3]  # a small batch covers all noise levels
    assert noised(pipeline, latents, torch.Generator().manual_seed(1), least=0.6).times.min() >= 600


def test_noise_that_no_alphas_tell_of_is_refused_before_anything_is_trained_or_drawn() -> None:
    """A scheduler of the EDM kind predicts epsilon too, of other noise."""
    pipeline = tiny.pipeline()
    pipeline.scheduler = EDMDPMSolverMultistepScheduler(prediction_type="epsilon")
    with pytest.raises(UnknownArchitecture, match="EDMDPMSolverMultistepScheduler has no alphas_cumprod"):
        noised(pipeline, torch.zeros(1, 4, 8, 8), torch.Generator().manual_seed(0))
    with pytest.raises(UnknownArchitecture, match="EDMDPMSolverMultistepScheduler has no alphas_cumprod"):
        denoiser.check(pipeline)
