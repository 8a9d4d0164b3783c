"""The model as its own examiner: how well it predicts the noise in a picture, given words for it.

A concept lives on in a model to the degree that some words make it denoise the concept's pictures well (Diffusion
Classifier, arXiv 2303.16203; UnlearnDiffAtk, arXiv 2310.11868). What is predicted follows from the scheduler: noise,
velocity or picture under a variance-preserving schedule, or the flow from picture to noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expunge.engine.errors import EditError, UnknownArchitecture
from expunge.engine.families import FAMILIES, Arguments, Predict, family_of

KINDS = ("epsilon", "v_prediction", "sample", "flow")


@dataclass(frozen=True)
class Noised:
    """Latents with noise in them, [n, c, h, w], the timesteps [n] that say how much, and what is to be predicted."""

    noisy: Tensor
    times: Tensor
    goal: Tensor


def check(pipeline: Any) -> None:
    """UnknownArchitecture for a family, or a kind of prediction, whose denoising loss is not known."""
    _predict(pipeline)
    kind(pipeline)


def denoiser(pipeline: Any) -> Any:
    return getattr(pipeline, family_of(pipeline).denoisers[0])


@contextmanager
def still(pipeline: Any) -> Iterator[None]:
    """While it lasts no weight asks for a gradient; afterwards those do that did before."""
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    asking = [weight for part in parts for weight in part.parameters() if weight.requires_grad]
    for weight in asking:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in asking:
            weight.requires_grad_(True)


@torch.no_grad()
def latents_of(pipeline: Any, pictures: np.ndarray) -> Tensor:
    """Return the latents [n, c, h, w] in which pictures, uint8 [n, height, width, 3], are denoised."""
    _predict(pipeline)
    vae = pipeline.vae
    pixels = torch.tensor(pictures).permute(0, 3, 1, 2).to(vae.device, vae.dtype) / 127.5 - 1
    latents = torch.cat([vae.encode(pixel[None]).latent_dist.mode() for pixel in pixels])
    latents = (latents - (getattr(vae.config, "shift_factor", None) or 0)) * vae.config.scaling_factor
    if not latents.isfinite().all():
        raise EditError("vae", f"latents are not finite in {vae.dtype}; open the model in float32")
    return latents.to(denoiser(pipeline).dtype)


def noised(pipeline: Any, latents: Tensor, generator: torch.Generator, least: float = 0.0) -> Noised:
    """Put noise into latents; the levels, from the share `least` on, are evenly spread over even a small batch."""
    count = len(latents)
    share = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    share = least + (1 - least) * share
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    steps, predicts = pipeline.scheduler.config.num_train_timesteps, kind(pipeline)
    if predicts == "flow":
        level = share.to(latents)[:, None, None, None]
        return Noised(latents.lerp(noise, level), (share * steps).to(latents), noise - latents)
    times = (share * steps).long().clamp(max=steps - 1).to(latents.device)
    kept = pipeline.scheduler.alphas_cumprod.to(latents.device)[times][:, None, None, None]
    signal, spread = kept.sqrt().to(latents), (1 - kept).sqrt().to(latents)
    goals = {"epsilon": noise, "v_prediction": signal * noise - spread * latents, "sample": latents}
    return Noised(signal * latents + spread * noise, times, goals[predicts])


def errors(pipeline: Any, task: Noised, arguments: Arguments) -> Tensor:
    """Return the denoiser's mean squared error on each latent, [n] in float32 or wider.

    `arguments` have one row for each latent.
    """
    error = predicted(pipeline, task.noisy, task.times, arguments) - task.goal
    return error.square().flatten(1).mean(1)


def predicted(pipeline: Any, noisy: Tensor, times: Tensor, arguments: Arguments) -> Tensor:
    """Return the denoiser's prediction, of whatever kind, in float32 or wider; `times` is one for all or one each."""
    dtype = denoiser(pipeline).dtype
    cast = {name: argument.to(dtype) for name, argument in arguments.items()}
    each = times.to(noisy.device).expand(len(noisy))
    output = _predict(pipeline)(pipeline, noisy.to(dtype), each, cast)
    return output.to(torch.promote_types(output.dtype, torch.float32))


def in_pairs(pipeline: Any, noisy: Tensor, time: Tensor, one: Arguments, other: Arguments) -> tuple[Tensor, Tensor]:
    """Return the predictions for the same latents under one text input and another, in one pass.

    With a small batch a processor waits for the weights, so two passes would take nearly twice the time.
    """
    both = {name: torch.cat([one[name], other[name]]) for name in one}
    first, second = predicted(pipeline, torch.cat([noisy, noisy]), time, both).chunk(2)
    return first, second


def kind(pipeline: Any) -> str:
    """Return the kind of the denoiser's prediction, one of KINDS. Raises UnknownArchitecture if it is another."""
    predicts = getattr(pipeline.scheduler.config, "prediction_type", "flow")
    if predicts not in KINDS:
        raise UnknownArchitecture(f"the scheduler predicts {predicts!r}; an attack knows {', '.join(KINDS)}")
    if predicts != "flow":
        check_levels(pipeline)
    return predicts


def check_levels(pipeline: Any) -> None:
    """UnknownArchitecture where the scheduler's noise is not told by `alphas_cumprod`, as that of the EDM kind."""
    if not hasattr(pipeline.scheduler, "alphas_cumprod"):
        name = type(pipeline.scheduler).__name__
        raise UnknownArchitecture(f"{name} has no alphas_cumprod, by which noise is added here")


@dataclass(frozen=True)
class Level:
    """A level of noise: a state is `signal` of the picture and `spread` of the noise; the denoiser is told `time`."""

    time: Tensor
    signal: float
    spread: float


def level_at(pipeline: Any, share: float) -> Level:
    """Return the noise level at a share of the whole range; at 0 there is no noise."""
    device, whole = denoiser(pipeline).device, pipeline.scheduler.config.num_train_timesteps
    if kind(pipeline) == "flow":
        return Level(torch.tensor(share * whole, device=device), 1 - share, share)
    time = min(int(share * whole), whole - 1)
    kept = float(pipeline.scheduler.alphas_cumprod[time]) if share > 0 else 1.0
    return Level(torch.tensor(time, device=device), kept**0.5, (1 - kept) ** 0.5)


def taken_for(pipeline: Any, state: Tensor, said: Tensor, level: Level) -> tuple[Tensor, Tensor]:
    """Return the picture and the noise that the denoiser takes a state for, whatever kind its prediction `said` is."""
    signal, spread = level.signal, level.spread
    match kind(pipeline):
        case "epsilon":
            return (state - spread * said) / signal, said
        case "v_prediction":
            return signal * state - spread * said, spread * state + signal * said
        case "sample":
            return said, (state - signal * said) / spread
        case _:
            return state - spread * said, state + signal * said


def _predict(pipeline: Any) -> Predict:
    family = family_of(pipeline)
    if family.predict is None:
        known = ", ".join(known.name for known in FAMILIES if known.predict)
        raise UnknownArchitecture(
            f"what looks into the denoiser does not know {family.name}; it knows {known}. Choose concept_vector, which "
            "needs text encoders only"
        )
    return family.predict
