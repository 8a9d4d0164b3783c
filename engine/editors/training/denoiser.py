"""The common parts of editors that train: a walk along the denoising path, and the weights that they may change.

The scheduler is DDIM (arXiv 2010.02502) without noise, on the betas and the kind of prediction that the model's own
scheduler names. So every walk is a pure function of weights, prompts and first noise.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from expunge.engine.editors.training.base import Run, Step
from expunge.engine.errors import SettingError, UnknownArchitecture
from expunge.engine.families import Arguments, family_of, projections
from expunge.engine.models.denoising import check_levels, in_pairs
from expunge.engine.text.encoding import encode_prompts

FAMILIES = ("stable-diffusion", "stable-diffusion-xl")
OTHER = "other"
PARAMETERS = ("full", "cross-attention")
AT_ONCE = 32
NUMBERS = AT_ONCE * 4 * 64 * 64  # as many latents of Stable Diffusion 1.5
T = TypeVar("T")
R = TypeVar("R")


@torch.no_grad()
def read(pipeline: Any, prompts: Sequence[str]) -> Arguments:
    """Return the denoiser's text input for n prompts, [n, ...] by the pipeline's own keywords."""
    return encode_prompts(pipeline, prompts, pipeline.unet.device)


def unconditional(pipeline: Any, count: int) -> Arguments:
    """Return the denoiser's text input when the pipeline is asked for nothing, `count` times.

    It is the empty prompt, or zeros where the configuration says so, as Stable Diffusion XL's does.
    """
    nothing = take(read(pipeline, [""]), [0] * count)
    if getattr(pipeline.config, "force_zeros_for_empty_prompt", False):
        return {name: torch.zeros_like(rows) for name, rows in nothing.items()}
    return nothing


def take(arguments: Arguments, places: Sequence[int]) -> Arguments:
    """Return the rows of a text input that are at these places."""
    return {name: rows[list(places)] for name, rows in arguments.items()}


def check(pipeline: Any) -> None:
    """Refuse a pipeline whose denoiser cannot be trained here.

    Raises:
        UnknownArchitecture: it is such a pipeline.
    """
    family = family_of(pipeline)
    if family.name not in FAMILIES:
        raise UnknownArchitecture(f"{family.name} cannot be fine-tuned here; known: {', '.join(FAMILIES)}")
    check_levels(pipeline)
    projections(pipeline)  # refuses a denoiser that is not what the family says
    config = pipeline.unet.config
    if config.in_channels != config.out_channels:
        raise UnknownArchitecture(
            f"the UNet takes {config.in_channels} channels for {config.out_channels} (in_channels, out_channels), as "
            "one that inpaints, and is not fine-tuned here; choose an editor in closed form"
        )
    if config.time_cond_proj_dim is not None:
        raise UnknownArchitecture(
            "the UNet is told of its guidance (time_cond_proj_dim), as that of a latent consistency model, and is not "
            "fine-tuned here; choose an editor in closed form"
        )


def ddim(pipeline: Any, steps: int) -> Any:
    """Return a DDIM scheduler of the pipeline's noise, with so many steps.

    Raises:
        SettingError: there are more steps than levels of noise.
    """
    scheduler: Any = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    if steps > (levels := scheduler.config.num_train_timesteps):
        raise SettingError(f"steps is {steps}, and the model knows {levels} levels of noise; use at most as many")
    scheduler.set_timesteps(steps)
    return scheduler


@torch.no_grad()
def walk(
    pipeline: Any,
    scheduler: Any,
    said: Arguments,
    nothing: Arguments,
    noise: Tensor,
    guidance: float,
    until: Sequence[int] | None = None,
) -> Tensor:
    """Return the states under classifier-free guidance after the first `until` denoising steps of each row.

    If `until` is left out, these are all steps. It ascends: rows that are done wait for the others.
    """
    state = noise * scheduler.init_noise_sigma
    until = [len(scheduler.timesteps)] * len(noise) if until is None else until
    for step, time in enumerate(scheduler.timesteps[: until[-1]]):
        going = range(bisect.bisect_right(until, step), len(until))
        here = state[going.start :]
        without, prompted = in_pairs(pipeline, here, time, take(nothing, going), take(said, going))
        moved = scheduler.step(without + guidance * (prompted - without), time, here).prev_sample
        state = torch.cat([state[: going.start], moved])
    return state


def shared_out(work: Callable[[T], R], parts: Iterable[T], threads: int) -> Iterator[R]:
    """Yield the result of work on each part, in order, with `threads` parts at a time.

    Each part runs on one thread, so the result is the same on any number of them.
    """
    if threads == 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(work, parts)


def noise_like_latents(unet: Any, count: int, draws: torch.Generator) -> Tensor:
    """Return standard normal noise [count, channels, height, width], drawn on the CPU: the same on every device."""
    return torch.randn(count, *_shape(unet), generator=draws).to(unet.device)


def at_once(unet: Any) -> int:
    """Return how many latents go through the denoiser together: fewer of larger ones, for the memory that they take."""
    return max(1, min(AT_ONCE, NUMBERS // math.prod(_shape(unet))))


def _shape(unet: Any) -> tuple[int, int, int]:
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return unet.config.in_channels, height, width


def is_trained(parameters: str, weight: str) -> bool:
    """Return whether a weight of a pipeline is among these parameters of its UNet.

    Args:
        parameters: "full", "cross-attention", or "other" for all but cross-attention.
    """
    if not weight.startswith("unet."):
        return False
    return parameters == "full" or (".attn2." in weight) == (parameters != OTHER)


def chosen(unet: nn.Module, parameters: str) -> dict[str, nn.Parameter]:
    """Switch on the gradients of these parameters, as `is_trained` names them, and return them by name."""
    picked = {name: parameter for name, parameter in unet.named_parameters() if is_trained(parameters, f"unet.{name}")}
    for parameter in picked.values():
        parameter.requires_grad_(True)
    return picked


def draw_latents(
    pipeline: Any, scheduler: Any, said: Arguments, guidance: float, draws: torch.Generator, stage: str, run: Run
) -> Tensor:
    """Return the latents [n, c, h, w] of pictures, drawn by the model as it is under each row of `said`."""
    count, size = len(next(iter(said.values()))), at_once(pipeline.unet)
    blocks = [range(start, min(start + size, count)) for start in range(0, count, size)]
    begun = [(block, noise_like_latents(pipeline.unet, len(block), draws)) for block in blocks]
    nothing = unconditional(pipeline, size)

    def drawn(part: tuple[range, Tensor]) -> Tensor:
        block, noise = part
        return walk(pipeline, scheduler, take(said, block), take(nothing, range(len(block))), noise, guidance)

    latents = []
    for block, states in zip(blocks, shared_out(drawn, begun, run.threads), strict=True):
        latents.append(states)
        run.report(Step(stage, block.stop, count))
    return torch.cat(latents)
