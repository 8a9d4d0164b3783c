"""A trainer walks and predicts as the pipeline itself does, whatever goes through the denoiser together."""

from __future__ import annotations

import torch

from expunge.engine.editors.training.denoiser import (
    at_once,
    ddim,
    in_pairs,
    noise_like_latents,
    read,
    take,
    unconditional,
    walk,
)
from expunge.engine.models.denoising import predicted
from tests.engine.editors.training.trainees import listening
from tests.engine.families import tiny_families


def test_larger_latents_go_through_the_denoiser_by_fewer() -> None:
    unet = listening().unet
    whole = at_once(unet)
    unet.register_to_config(sample_size=128)
    assert (whole, at_once(unet)) == (32, 8)
    unet.register_to_config(sample_size=(4096, 2048))
    assert at_once(unet) == 1
    assert noise_like_latents(unet, 1, torch.Generator()).shape == (1, 4, 4096, 2048)


def test_each_row_walks_as_far_as_it_is_told_and_as_it_would_alone() -> None:
    for pipeline in (listening(), tiny_families.sdxl()):
        scheduler, until = ddim(pipeline, 5), [0, 2, 2, 5]
        noise = noise_like_latents(pipeline.unet, 4, torch.Generator().manual_seed(0))
        said, nothing = read(pipeline, ["a cat", "a car", "a dog", "a cup"]), unconditional(pipeline, 4)
        found = walk(pipeline, scheduler, said, nothing, noise, 3.0, until)
        for row, steps in enumerate(until):
            told = (take(said, [row]), take(nothing, [row]))
            alone = walk(pipeline, scheduler, *told, noise[[row]], 3.0, [steps])
            assert torch.allclose(found[row], alone[0], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(found[1], found[2], atol=1e-2)


def test_a_walk_is_the_pipelines_own_where_nothing_is_said_by_zeros_too() -> None:
    for pipeline in (listening(), tiny_families.sdxl()):
        pipeline.scheduler = ddim(pipeline, 3)
        noise = noise_like_latents(pipeline.unet, 1, torch.Generator().manual_seed(0))
        ours = walk(pipeline, pipeline.scheduler, read(pipeline, ["a cat"]), unconditional(pipeline, 1), noise, 5.0)
        how = {"num_inference_steps": 3, "guidance_scale": 5.0, "latents": noise, "output_type": "latent"}
        assert torch.allclose(ours, pipeline("a cat", **how).images, rtol=1e-4, atol=1e-5)


def test_one_pass_over_both_predicts_of_each_what_it_does_alone() -> None:
    for pipeline in (listening(), tiny_families.sdxl()):
        told = read(pipeline, ["", "a cat", "a car"])
        one, other = take(told, [0, 0]), take(told, [1, 2])
        noisy = noise_like_latents(pipeline.unet, 2, torch.Generator().manual_seed(0))
        with torch.no_grad():
            both = in_pairs(pipeline, noisy, torch.tensor(700), one, other)
            alone = [predicted(pipeline, noisy, torch.tensor(700), said) for said in (one, other)]
        assert all(torch.allclose(*pair, rtol=1e-4, atol=1e-5) for pair in zip(both, alone, strict=True))
        assert not torch.allclose(both[0], both[1], rtol=1e-2)
