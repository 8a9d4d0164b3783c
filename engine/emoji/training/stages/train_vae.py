"""Stage `vae` trains the autoencoder, by L1, gradient L1 and a little KL; `decoder` then sharpens the decoder alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from expunge.engine.emoji.training import nets, pictures
from expunge.engine.emoji.training.loop import Loop, cosine, mixed


def pixels() -> Tensor:
    """Return every variant of every picture, [n, 3, 64, 64] in [-1, 1]."""
    drawn = pictures.variants(pictures.load()).reshape(-1, pictures.SIDE, pictures.SIDE, 3)
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1


def shifted(batch: Tensor, generator: torch.Generator, reach: int = 3) -> Tensor:
    """Return the batch moved by up to `reach` pixels over a white ground."""
    across, down = torch.randint(0, 2 * reach + 1, (2,), generator=generator).tolist()
    padded = F.pad(batch, (reach,) * 4, value=1.0)
    side = batch.shape[-1]
    return padded[..., down : down + side, across : across + side]


def edges(batch: Tensor) -> tuple[Tensor, Tensor]:
    return batch.diff(dim=-1), batch.diff(dim=-2)


def picture_loss(made: Tensor, wanted: Tensor) -> Tensor:
    loss = F.l1_loss(made, wanted)
    for a, b in zip(edges(made), edges(wanted), strict=True):
        loss = loss + F.l1_loss(a, b)
    return loss


def train(loop: Loop, steps: int, batch_size: int = 16, rate: float = 2e-3) -> None:
    """Train encoder and decoder together for `steps` steps."""
    model = nets.vae()
    data = pixels()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)
    _run(loop, steps, model, optimiser, data, batch_size, rate, kl_weight=1e-3)


def sharpen(loop: Loop, steps: int, batch_size: int = 16, rate: float = 1e-3) -> None:
    """Train the decoder alone from the finished `vae` stage; the latents stay as they are."""
    model = nets.vae()
    model.load_state_dict(loop.finished("vae"))
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(free, lr=rate, betas=(0.9, 0.99), weight_decay=1e-4)
    _run(loop, steps, model, optimiser, pixels(), batch_size, rate, kl_weight=0.0)


def _run(
    loop: Loop,
    steps: int,
    model: Any,
    optimiser: torch.optim.Optimizer,
    data: Tensor,
    batch_size: int,
    rate: float,
    kl_weight: float,
) -> None:
    model.to(memory_format=torch.channels_last)
    loop.resume(model, optimiser)
    for step in loop.steps(steps):
        cosine(optimiser, rate, step, steps)
        chosen = torch.randint(len(data), (batch_size,), generator=loop.draws)
        wanted = shifted(data[chosen], loop.draws).contiguous(memory_format=torch.channels_last)
        with mixed():
            posterior = model.encode(wanted).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=loop.draws)
            made = model.decode(posterior.mean + posterior.std * noise).sample
        made = made.float()
        loss = picture_loss(made, wanted) + kl_weight * posterior.kl().mean() / wanted[0].numel()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        loop.log(step, l1=F.l1_loss(made.detach(), wanted).item(), std=posterior.mean.std().item())
        loop.checkpoint(step, model, optimiser)
    loop.finish(model)
