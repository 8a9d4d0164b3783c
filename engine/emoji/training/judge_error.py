"""The error of the built-in judge: `python -m expunge.engine.emoji.training.judge_error` counts it and writes
`judge_error.json`.

Each training picture is shown once, as drawn or as the autoencoder rebuilds it (a coin decides; what the model draws
has the second look), moved, scaled, turned, tinted and noised by a draw that no training stage makes. An object is also
asked for on a picture of a near-twin where it has one. These are the very objects and styles that the judge was trained
on, so the error is that of recognising what it learnt, not what it never saw.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from expunge.engine.emoji import JUDGE, MODEL
from expunge.engine.emoji.catalogue import OBJECTS, STYLES, twins
from expunge.engine.emoji.training.train_clip import augmented, drawn
from expunge.engine.judges import ClipJudge
from expunge.engine.judges.error import measure, write

HELD_OUT = 20_261_125
BATCH = 96


def shown() -> np.ndarray:
    """One held-out view of every picture, uint8 [objects * styles, 64, 64, 3]."""
    generator = torch.Generator().manual_seed(HELD_OUT)
    originals = drawn().flatten(0, 1)
    coin = torch.rand(len(originals), generator=generator) < 0.5
    chosen = torch.where(coin[:, None, None, None], originals, _rebuilt(originals))
    return moved(chosen, generator)


def moved(pictures: Tensor, generator: torch.Generator) -> np.ndarray:
    """Pictures [n, 3, side, side] in [-1, 1] under one draw of the augmentation, uint8 [n, side, side, 3]."""
    seen = augmented(pictures, generator)
    return ((seen.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


@torch.no_grad()
def _rebuilt(pictures: Tensor) -> Tensor:
    vae: Any = AutoencoderKL.from_pretrained(MODEL, subfolder="vae", local_files_only=True, torch_dtype=torch.float32)
    blocks = [vae.decode(vae.encode(block).latent_dist.mode()).sample for block in pictures.split(BATCH)]
    return torch.cat(blocks).clamp(-1, 1)


def questions() -> dict[str, tuple[list[str], list[str]]]:
    """For each category the label of every picture and the rival to ask for, a near-twin where an object has one."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    judge, pictures = ClipJudge(JUDGE), shown()
    errors = {
        category: measure(judge, pictures, labels, category, rivals)
        for category, (labels, rivals) in questions().items()
    }
    path = write(JUDGE, errors, f"{len(pictures)} built-in pictures under held-out augmentation, seed {HELD_OUT}")
    print(path)
    for category, error in errors.items():
        print(
            f"{category}: missed {error.labelled - error.hits} of {error.labelled}, "
            f"{error.false_alarms} false alarms in {error.negatives}"
        )


if __name__ == "__main__":
    main()
