"""Clean pictures whose labels are known: every training picture under an augmentation that no training stage drew."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import OBJECTS, STYLES, twins
from expunge.engine.emoji.training.stages.train_clip import augmented, drawn

HELD_OUT = 20_261_125
BATCH = 96


def shown() -> np.ndarray:
    """Return one held-out view of every picture, uint8 [objects * styles, 64, 64, 3]."""
    generator = torch.Generator().manual_seed(HELD_OUT)
    originals = drawn().flatten(0, 1)
    coin = torch.rand(len(originals), generator=generator) < 0.5
    chosen = torch.where(coin[:, None, None, None], originals, _rebuilt(originals))
    return moved(chosen, generator)


def moved(pictures: Tensor, generator: torch.Generator) -> np.ndarray:
    """Return pictures [n, 3, side, side] in [-1, 1] under one draw of the augmentation, as uint8 [n, side, side, 3]."""
    seen = augmented(pictures, generator)
    return ((seen.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


@torch.no_grad()
def _rebuilt(pictures: Tensor) -> Tensor:
    vae: Any = AutoencoderKL.from_pretrained(MODEL, subfolder="vae", local_files_only=True, torch_dtype=torch.float32)
    blocks = [vae.decode(vae.encode(block).latent_dist.mode()).sample for block in pictures.split(BATCH)]
    return torch.cat(blocks).clamp(-1, 1)


def questions() -> dict[str, tuple[list[str], list[str]]]:
    """Return for each category the label of every picture and the rival to ask for.

    The rival is a near-twin where an object has one.
    """
    places = [(place, look) for place in range(len(OBJECTS)) for look in range(len(STYLES))]
    return {
        "object": ([OBJECTS[place].name for place, _ in places], [_rival(place, look) for place, look in places]),
        "style": (
            [STYLES[look].name for _, look in places],
            [STYLES[(look + 1 + place % (len(STYLES) - 1)) % len(STYLES)].name for place, look in places],
        ),
    }


def _rival(place: int, turn: int) -> str:
    near = twins(OBJECTS[place].name)
    return near[turn % len(near)] if near else OBJECTS[(place + 1 + turn) % len(OBJECTS)].name
