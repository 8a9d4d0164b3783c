"""The second judge: a small residual network that knows objects, styles and pictures of nothing.

    python -m expunge.engine.emoji.training.stages.train_residual --work DIR --out FOLDER

It takes about half an hour on one core.

It is unlike the first judge on purpose, so that they do not err alike: convolutions where that has attention, labels
where that has texts, other seeds and other alterations. It learns from the pictures as drawn and as the autoencoder
rebuilds them, moved, recoloured, partly hidden, blurred and noised, and from blends of two, whose labels are shares.
Pictures of nothing (scattered tiles, coloured noise, random latents as the autoencoder sees them) have a label of
their own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPImageProcessor

from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import OBJECTS, STYLES, twins
from expunge.engine.emoji.training import nets
from expunge.engine.emoji.training.loop import Loop, cosine, mixed
from expunge.engine.emoji.training.samples.alterations import (
    Draws,
    blended,
    clouds,
    hidden,
    moved,
    recoloured,
    scattered,
    worn,
)
from expunge.engine.emoji.training.stages.train_clip import drawn

SEED = 39
NOTHING = "nothing"
OBJECT_LABELS = [item.name for item in OBJECTS]
STYLE_LABELS = [item.name for item in STYLES]
LABELS = [*OBJECT_LABELS, NOTHING, *STYLE_LABELS]
OWN_COLOUR = ("fruit", "vegetable")  # what tells these apart is their colour
EMPTY_SHARE = 0.12  # of each batch: pictures of nothing
RANDOM_LATENTS = 480


def autoencoder() -> Any:
    kept: Any = AutoencoderKL
    return kept.from_pretrained(MODEL, subfolder="vae", local_files_only=True, torch_dtype=torch.float32).eval()


@torch.no_grad()
def rebuilt(vae: Any) -> Tensor:
    """Return every picture as the autoencoder rebuilds it, [objects, styles, 3, side, side]."""
    originals = drawn()
    parts = [vae.decode(vae.encode(part).latent_dist.mode()).sample for part in originals.flatten(0, 1).split(64)]
    return torch.cat(parts).clamp(-1, 1).reshape(originals.shape)


@torch.no_grad()
def random_latents(vae: Any, generator: torch.Generator, count: int = RANDOM_LATENTS) -> Tensor:
    """Decode noise of all strengths and sizes of blobs, such as a denoiser leaves that failed."""
    side = int(vae.config.sample_size) // 8
    made = []
    for _ in range(count):
        coarse = int(torch.randint(2, side + 1, (1,), generator=generator))
        noise = torch.randn(1, int(vae.config.latent_channels), coarse, coarse, generator=generator)
        spread = F.interpolate(noise, (side, side), mode="bilinear", align_corners=False)
        strength = 0.3 + 1.2 * torch.rand(1, generator=generator)
        made.append(spread / spread.std() * strength / vae.config.scaling_factor)
    return torch.cat([vae.decode(part).sample for part in torch.cat(made).split(64)]).clamp(-1, 1)


class Lessons:
    """Batches with their labels, each drawn anew from the generator."""

    def __init__(self, vae: Any, generator: torch.Generator) -> None:
        self.pictures = torch.stack([drawn(), rebuilt(vae)])
        self.latents = random_latents(vae, torch.Generator().manual_seed(SEED))
        self.draws = generator
        places = {item.name: place for place, item in enumerate(OBJECTS)}
        self.near = [[places[name] for name in twins(item.name)] or [place] for place, item in enumerate(OBJECTS)]
        self.keeps_colour = torch.tensor([item.category in OWN_COLOUR for item in OBJECTS])

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures [size, 3, side, side], label shares [size, objects + 1] and [size, styles].

        The shares of styles are all 0 where the picture shows nothing.
        """
        empty = int(size * EMPTY_SHARE)
        pictures, objects, styles = self._of_something(size - empty)
        objects = torch.cat([objects, F.one_hot(torch.full((empty,), len(OBJECTS)), len(OBJECTS) + 1).float()])
        styles = torch.cat([styles, torch.zeros(empty, len(STYLES))])
        return worn(torch.cat([pictures, self._of_nothing(empty)]), self.draws), objects, styles

    def _of_something(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        draws = Draws(size, self.draws)
        objects = torch.randint(len(OBJECTS), (size,), generator=self.draws)
        styles = torch.randint(len(STYLES), (size,), generator=self.draws)
        pictures = moved(self._looked_up(objects, styles), self.draws)
        others, other_styles = self._others(objects, styles)
        share = torch.where(draws.chosen(0.3), draws.uniform(0.5, 1), torch.ones(size))
        pictures = blended(pictures, moved(self._looked_up(others, other_styles), self.draws), share)
        pictures = self._recoloured(pictures, objects, draws)
        covered = hidden(pictures, (0.04, 0.4), self.draws)
        pictures = torch.where(draws.chosen(0.5, 1, 1, 1), covered, pictures)
        by_object, by_style = (
            share[:, None] * F.one_hot(own, width) + (1 - share[:, None]) * F.one_hot(other, width)
            for own, other, width in ((objects, others, len(OBJECTS) + 1), (styles, other_styles, len(STYLES)))
        )
        return pictures, by_object, by_style

    def _looked_up(self, objects: Tensor, styles: Tensor) -> Tensor:
        source = torch.randint(2, objects.shape, generator=self.draws)
        return self.pictures[source, objects, styles]

    def _others(self, objects: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each picture is blended with: mostly a twin in the same style."""
        turns = torch.randint(2**31, objects.shape, generator=self.draws).tolist()
        near = [self.near[own][turn % len(self.near[own])] for own, turn in zip(objects.tolist(), turns, strict=True)]
        far = torch.randint(len(OBJECTS), objects.shape, generator=self.draws)
        is_near = Draws(len(objects), self.draws).chosen(0.7)
        other_styles = torch.randint(len(STYLES), styles.shape, generator=self.draws)
        return torch.where(is_near, torch.tensor(near), far), torch.where(is_near, styles, other_styles)

    def _recoloured(self, pictures: Tensor, objects: Tensor, draws: Draws) -> Tensor:
        free = draws.chosen(0.4) & ~self.keeps_colour[objects]
        hue = torch.where(free, draws.uniform(-torch.pi, torch.pi), draws.uniform(-0.15, 0.15))
        saturation = torch.where(free, draws.uniform(0, 1.2), draws.uniform(0.8, 1.2))
        return recoloured(pictures, hue, saturation)

    def _of_nothing(self, size: int) -> Tensor:
        side = self.pictures.shape[-1]
        first, second = size // 3, size // 3
        objects = torch.randint(len(OBJECTS), (first,), generator=self.draws)
        styles = torch.randint(len(STYLES), (first,), generator=self.draws)
        tiles = (8, 16)[int(torch.randint(2, (1,), generator=self.draws))]
        torn = scattered(self._looked_up(objects, styles), tiles, self.draws)
        latents = self.latents[torch.randint(len(self.latents), (size - first - second,), generator=self.draws)]
        return torch.cat([torn, clouds(second, side, self.draws), latents])


def loss_of(logits: Tensor, objects: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of each kind of label against its shares."""
    by_object, by_style = logits.split([len(OBJECTS) + 1, len(STYLES)], dim=1)
    return (
        -(objects * by_object.log_softmax(1)).sum(1).mean(),
        -(styles * by_style.log_softmax(1)).sum(1).sum() / styles.sum().clamp(min=1),
    )


def train(loop: Loop, steps: int, batch_size: int = 96, rate: float = 2e-3) -> None:
    model = nets.residual(LABELS).to(memory_format=torch.channels_last)
    lessons = Lessons(autoencoder(), loop.draws)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.05)
    loop.resume(model, optimiser)
    model.train()
    for step in loop.steps(steps):
        cosine(optimiser, rate, step, steps)
        pictures, objects, styles = lessons.batch(batch_size)
        with mixed():
            logits = model(pixel_values=pictures.contiguous(memory_format=torch.channels_last)).logits
        object_loss, style_loss = loss_of(logits.float(), objects, styles)
        optimiser.zero_grad(set_to_none=True)
        (object_loss + 0.5 * style_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        loop.log(step, object=object_loss.item(), style=style_loss.item())
        loop.checkpoint(step, model, optimiser)
    loop.finish(model)


def export(weights: dict[str, Tensor], folder: Path) -> None:
    """Write the judge's folder: fp16 weights, processor, and the card."""
    model = nets.residual(LABELS)
    model.load_state_dict(weights)
    model.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    processor.save_pretrained(folder)
    card = {
        "kind": "classifier",
        "categories": {"object": OBJECT_LABELS, "style": STYLE_LABELS},
        "nothing": NOTHING,
    }
    (folder / "judge.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and log")
    parser.add_argument("--out", type=Path, required=True, help="folder that the judge is written to")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    loop = Loop(args.work, "residual", seed=SEED)
    if not loop.done():
        train(loop, args.steps)
    export(loop.finished("residual"), args.out)


if __name__ == "__main__":
    main()
