"""What the editors that train share: prompts as a UNet is told them, its prediction, a walk along the denoising path.

The scheduler is DDIM (arXiv 2010.02502) without noise, on the betas and the kind of prediction that the model's own
scheduler names, so that every walk is a pure function of weights, prompts and first noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from engine.errors import SettingError, UnknownArchitecture
from engine.families import family_of
from engine.text import encode

FAMILIES = ("stable-diffusion", "stable-diffusion-xl")
PARAMETERS = ("full", "cross-attention")


@dataclass(frozen=True)
class Conditions:
    """What a UNet is told of n prompts: `tokens` [n, T, d] and, where it takes more, `added` [n, ...] by name."""

    tokens: Tensor
    added: Mapping[str, Tensor]

    def take(self, places: Sequence[int]) -> Conditions:
        chosen = torch.tensor(list(places), dtype=torch.long, device=self.tokens.device)
        return Conditions(self.tokens[chosen], {name: value[chosen] for name, value in self.added.items()})


def check(pipeline: Any) -> None:
    """UnknownArchitecture if the pipeline's denoiser is not one that is trained here."""
    family = family_of(pipeline)
    if family.name not in FAMILIES:
        raise UnknownArchitecture(f"{family.name} cannot be fine-tuned here; known: {', '.join(FAMILIES)}")
    family.projections(pipeline)  # refuses a denoiser that is not what the family says


def read(pipeline: Any, prompts: Sequence[str]) -> Conditions:
    """Encode prompts as the pipeline would."""
    family = family_of(pipeline)
    states = [encode(pipeline, list(prompts), stream).embeddings for stream in range(family.streams)]
    told = family.arguments(pipeline, [state.to(pipeline.unet.device) for state in states])
    added: dict[str, Tensor] = {}
    if "pooled_prompt_embeds" in told:
        size = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        sizes = torch.tensor([size, size, 0, 0, size, size], dtype=torch.float32, device=pipeline.unet.device)
        added = {"text_embeds": told["pooled_prompt_embeds"], "time_ids": sizes.expand(len(prompts), -1)}
    return Conditions(told["prompt_embeds"], added)


def predict(unet: Any, noisy: Tensor, time: Tensor, conditions: Conditions) -> Tensor:
    """The UNet's prediction, float32, whatever kind it is; `time` is one for all or one each."""
    added = {name: value.to(unet.dtype) for name, value in conditions.added.items()}
    output = unet(
        noisy.to(unet.dtype),
        time.to(noisy.device),
        encoder_hidden_states=conditions.tokens.to(unet.dtype),
        added_cond_kwargs=added or None,
    )
    return output.sample.float()


def ddim(pipeline: Any, steps: int) -> Any:
    if steps < 1:
        raise SettingError(f"steps is {steps}; use at least 1")
    scheduler: Any = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    scheduler.set_timesteps(steps)
    return scheduler


@torch.no_grad()
def walk(
    unet: Any,
    scheduler: Any,
    said: Conditions,
    nothing: Conditions,
    noise: Tensor,
    guidance: float,
    until: int | None = None,
) -> Tensor:
    """The state after the first `until` denoising steps (all of them if left out) under classifier-free guidance."""
    state = noise * scheduler.init_noise_sigma
    for time in scheduler.timesteps[:until]:
        without = predict(unet, state, time, nothing)
        guided = without + guidance * (predict(unet, state, time, said) - without)
        state = scheduler.step(guided, time, state).prev_sample
    return state


def noise_like_latents(unet: Any, count: int, draws: torch.Generator) -> Tensor:
    """Standard normal [count, channels, size, size], drawn on the CPU so that it is the same on every device."""
    size = unet.config.sample_size
    return torch.randn(count, unet.config.in_channels, size, size, generator=draws).to(unet.device)


def chosen(unet: nn.Module, parameters: str) -> dict[str, nn.Parameter]:
    """Switch on the gradients of all parameters or of cross-attention's alone, and return those by name."""
    picked = {
        name: parameter for name, parameter in unet.named_parameters() if parameters == "full" or ".attn2." in name
    }
    for parameter in picked.values():
        parameter.requires_grad_(True)
    return picked
