"""Stage `unet`: v-prediction on cached latents and cached caption embeddings, with nothing in the loop but the UNet.

The rate is constant until `cooldown` steps before the end, and then falls to nothing. So a run can be stopped and
cooled down from any checkpoint.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTokenizer

from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.emoji.training import nets
from expunge.engine.emoji.training.captions import draw, padded
from expunge.engine.emoji.training.loop import Loop, mixed
from expunge.engine.emoji.training.stages.train_vae import pixels

STEPS, COOLDOWN, RATE = 20_000, 5_000, 7e-4
CAPTIONS = 40  # drawn for each picture
UNCONDITIONAL = 0.1


@torch.no_grad()
def whiten(vae: Any, data: Tensor) -> None:
    """Fold a whitening of the latent channels into the two 1 x 1 convolutions, so that the scaling factor is 1.

    The decoder gets what it got before: `post_quant_conv` reverses the whitening exactly.
    """
    means = torch.cat([vae.encode(part).latent_dist.mean for part in data.split(64)])
    channels = means.shape[1]
    points = means.permute(1, 0, 2, 3).reshape(channels, -1).double()
    centre, spread = points.mean(1), points.std(1)
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:channels] /= spread[:, None, None, None].float()
    quant.bias[:channels] = ((quant.bias[:channels] - centre) / spread).float()
    quant.bias[channels:] -= 2 * spread.log().float()
    post.bias += (post.weight[:, :, 0, 0].double() @ centre).float()
    post.weight *= spread[None, :, None, None].float()
    vae.register_to_config(scaling_factor=1.0)


@torch.no_grad()
def latents(vae: Any) -> Tensor:
    """Return the latents of the pictures as drawn, [objects * styles, 16, 8, 8].

    Other variants are for the judge and the autoencoder, because the first denoising steps would average them.
    """
    drawn = pixels()[: len(OBJECTS) * len(STYLES)]
    return torch.cat([vae.encode(part).latent_dist.mean for part in drawn.split(64)])


@torch.no_grad()
def encode(text_model: Any, tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Return every token's last hidden state, [captions, TOKENS, WIDTH], as the pipeline computes it."""
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return torch.cat([text_model(part).last_hidden_state.bfloat16() for part in tokens.split(512)])


def pool(text_model: Any, tokenizer: CLIPTokenizer, per_picture: int, seed: int = 1) -> Tensor:
    """Return embeddings of `per_picture` captions a picture, [objects * styles, per_picture, TOKENS, WIDTH]."""
    rng = random.Random(seed)
    drawn = [
        padded(draw(o, s, rng).text, rng)
        for o in range(len(OBJECTS))
        for s in range(len(STYLES))
        for _ in range(per_picture)
    ]
    unique = list(dict.fromkeys(drawn))
    place = {caption: index for index, caption in enumerate(unique)}
    embedded = encode(text_model, tokenizer, unique)
    return embedded[[place[caption] for caption in drawn]].reshape(-1, per_picture, *embedded.shape[1:])


def learn(
    loop: Loop, text_model: Any, vae: Any, tokenizer: CLIPTokenizer, rows: slice | list[int] = slice(None), **how: Any
) -> None:
    """Train on the pictures at `rows` with what `text_model` makes of their captions; `how` is for `train`."""
    texts = pool(text_model, tokenizer, how.pop("captions", CAPTIONS))
    empty = encode(text_model, tokenizer, [""])[0]
    train(loop, latents(vae)[rows], texts[rows], empty, **how)


class Average:
    """An exponential moving average of a model's weights, with the usual short warm-up."""

    def __init__(self, model: torch.nn.Module, decay: float = 0.9995) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.count = decay, 0

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        self.count += 1
        weight = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), weight)

    def state_dict(self) -> dict:
        return {"model": self.model.state_dict(), "count": self.count}

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.count = state["count"]


def train(
    loop: Loop,
    targets: Tensor,
    texts: Tensor,
    empty: Tensor,
    steps: int = STEPS,
    cooldown: int = COOLDOWN,
    batch_size: int = 40,
    rate: float = RATE,
    fuse: bool = False,
    start: Mapping[str, Tensor] | None = None,
    odds: Tensor | None = None,
) -> None:
    """Train for `steps` steps on `targets` [n, ...] and `texts` [n, captions, TOKENS, WIDTH].

    `fuse` compiles the forward and backward pass, which needs a C++ compiler. `start` holds the first weights; without
    it they are drawn. `odds` [n] is how often each target is shown; without it all are shown equally.
    """
    model = nets.unet()
    if start:
        model.load_state_dict(start)
    model = model.to(memory_format=torch.channels_last)
    average = Average(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    loop.resume(model, average, optimiser)
    signal = nets.scheduler().alphas_cumprod
    forward = torch.compile(model) if fuse else model
    for step in loop.steps(steps):
        hold(optimiser, rate, step, steps, cooldown)
        which = chosen(len(targets), batch_size, odds, loop.draws)
        said = torch.randint(texts.shape[1], (batch_size,), generator=loop.draws)
        clean, text = targets[which], texts[which, said]
        text[torch.rand(batch_size, generator=loop.draws) < UNCONDITIONAL] = empty
        time = torch.randint(len(signal), (batch_size,), generator=loop.draws)
        noise = torch.randn(clean.shape, generator=loop.draws)
        a, b = signal[time].sqrt()[:, None, None, None], (1 - signal[time]).sqrt()[:, None, None, None]
        noisy = (a * clean + b * noise).contiguous(memory_format=torch.channels_last)
        with mixed(), sdpa_kernel(SDPBackend.MATH):  # 64 points at most: shorter than a block of the other kernel
            made = forward(noisy, time, text.float()).sample
        loss = F.mse_loss(made.float(), a * noise - b * clean)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update(model)
        loop.log(step, every=200, loss=loss.item())
        loop.checkpoint(step, model, average, optimiser)
    loop.finish(average.model)


def chosen(count: int, size: int, odds: Tensor | None, draws: torch.Generator) -> Tensor:
    """Return `size` places of `count`, drawn with replacement."""
    if odds is None:
        return torch.randint(count, (size,), generator=draws)
    return torch.multinomial(odds, size, replacement=True, generator=draws)


def hold(
    optimiser: torch.optim.Optimizer, rate: float, step: int, total: int, cooldown: int, warmup: int = 300
) -> None:
    """Set the rate: warm it up, hold it, and lower it in a straight line over the last `cooldown` steps."""
    share = min(1.0, (step + 1) / warmup, max(0.0, (total - step) / max(1, cooldown)))
    for group in optimiser.param_groups:
        group["lr"] = rate * share
