"""Stage `clip` trains text and picture towers together; `judge` hardens the picture tower to rebuilt pictures.

The text tower that `clip` ends with is the pipeline's text encoder, frozen from then on, as in Stable Diffusion. The
`judge` stage keeps it and goes on with the picture tower alone.
"""

from __future__ import annotations

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTokenizer

from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.emoji.training import nets, pictures
from expunge.engine.emoji.training.captions import Caption, draw
from expunge.engine.emoji.training.loop import Loop, cosine, mixed


def drawn() -> Tensor:
    """Return the pictures as [objects, styles, 3, 64, 64] in [-1, 1]."""
    return torch.from_numpy(pictures.load()).permute(0, 1, 4, 2, 3).float() / 127.5 - 1


def augmented(batch: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Return each picture mirrored, moved, scaled, turned, blurred, tinted and noised by its own random draw."""
    n = len(batch)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    scale = 1 / uniform(1 - 0.25 * strength, 1 + 0.08 * strength)
    turn = uniform(-0.12, 0.12) * strength
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = mirror * scale * turn.cos(), -scale * turn.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = mirror * scale * turn.sin(), scale * turn.cos()
    matrix[:, :, 2] = uniform(-0.12, 0.12, 2) * strength
    grid = F.affine_grid(matrix, list(batch.shape), align_corners=False)
    moved = F.grid_sample(batch - 1, grid, align_corners=False) + 1
    blurred = F.avg_pool2d(moved, 3, stride=1, padding=1, count_include_pad=False)
    blur = uniform(0, 1, 1, 1, 1) * strength
    moved = moved + blur * (blurred - moved)
    moved = moved * uniform(1 - 0.1 * strength, 1.0, 3, 1, 1) + uniform(-0.05, 0.05, 1, 1, 1) * strength
    noise = torch.randn(moved.shape, generator=generator)
    return (moved + uniform(0, 0.1, 1, 1, 1) * strength * noise).clamp(-1, 1)


def agreement(captions: list[Caption], objects: Tensor, styles: Tensor) -> Tensor:
    """Return 1 where a caption is true of a picture, [captions, pictures]: where nothing that it says differs."""
    category = [OBJECTS[o].category for o in objects.tolist()]
    named_object = torch.tensor([-1 if c.object is None else c.object for c in captions])[:, None]
    named_style = torch.tensor([-1 if c.style is None else c.style for c in captions])[:, None]
    fits_category = torch.tensor([[c.category in (None, other) for other in category] for c in captions])
    object_fits = (named_object == -1) | (named_object == objects)
    style_fits = (named_style == -1) | (named_style == styles)
    return (object_fits & style_fits & fits_category).float()


class Heads(nn.Module):
    """Auxiliary classifiers that speed up the training of the towers, and are dropped after it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.object, self.style = nn.Linear(width, len(OBJECTS)), nn.Linear(width, len(STYLES))

    def loss(self, features: Tensor, objects: Tensor, styles: Tensor) -> Tensor:
        by_object = F.cross_entropy(self.object(features), objects, ignore_index=-1)
        return by_object + F.cross_entropy(self.style(features), styles, ignore_index=-1)


def contrast(text: Tensor, image: Tensor, scale: Tensor, truth: Tensor) -> Tensor:
    """Return the symmetric CLIP loss with every true pair as a positive."""
    logits = scale.exp().clamp(max=100) * F.normalize(text, dim=-1) @ F.normalize(image, dim=-1).T
    by_text = -(truth / truth.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    by_image = -(truth / truth.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (by_text + by_image) / 2


def train(loop: Loop, steps: int, tokenizer: CLIPTokenizer, batch_size: int = 96, rate: float = 1e-3) -> None:
    """Train both towers on clean and augmented pictures."""
    model = nets.clip(len(tokenizer), tokenizer.eos_token_id)
    heads: Any = nn.ModuleDict({"text": Heads(nets.WIDTH), "image": Heads(nets.WIDTH)})
    optimiser = torch.optim.AdamW(
        [*model.parameters(), *heads.parameters()], lr=rate, betas=(0.9, 0.98), weight_decay=0.05
    )
    data = drawn()
    loop.resume(model, heads, optimiser)
    for step in loop.steps(steps):
        cosine(optimiser, rate, step, steps)
        objects = torch.randint(len(OBJECTS), (batch_size,), generator=loop.draws)
        styles = torch.randint(len(STYLES), (batch_size,), generator=loop.draws)
        seen = augmented(data[objects, styles], loop.draws, strength=min(1.0, 0.3 + step / 600))
        rng = random.Random(int(torch.randint(2**31, (1,), generator=loop.draws)))
        captions = [draw(o, s, rng) for o, s in zip(objects.tolist(), styles.tolist(), strict=True)]
        tokens = tokenizer([c.text for c in captions], padding=True, truncation=True, return_tensors="pt")
        with mixed():
            text = model.text_model(**tokens).pooler_output
            image = model.vision_model(pixel_values=seen).pooler_output
            text_features, image_features = model.text_projection(text).float(), model.visual_projection(image).float()
        loss = contrast(text_features, image_features, model.logit_scale, agreement(captions, objects, styles))
        parts = [
            torch.tensor([-1 if v is None else v for v in values])
            for values in zip(*((c.object, c.style) for c in captions), strict=True)
        ]
        by_text, by_image = (
            heads["text"].loss(text.float(), *parts),
            heads["image"].loss(image.float(), objects, styles),
        )
        optimiser.zero_grad(set_to_none=True)
        (loss + 0.3 * (by_text + by_image)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        loop.log(step, contrast=loss.item(), text=by_text.item(), image=by_image.item())
        loop.checkpoint(step, model, heads, optimiser)
    loop.finish(model)


OBJECT_WORDINGS = ("{}", "a picture of a {}", "a drawing of a {}")
STYLE_WORDINGS = ("{} style", "a drawing in {} style", "a picture by {}")


@torch.no_grad()
def label_features(model: Any, tokenizer: CLIPTokenizer, names: list[str], wordings: tuple[str, ...]) -> Tensor:
    """Return each name's zero-shot text feature: the mean over wordings, as `expunge.engine.judges.clip` has it."""
    rows = []
    for name in names:
        tokens = tokenizer([wording.format(name) for wording in wordings], padding=True, return_tensors="pt")
        features = F.normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=-1)
        rows.append(F.normalize(features.mean(0), dim=-1))
    return torch.stack(rows)


def harden(
    loop: Loop, steps: int, tokenizer: CLIPTokenizer, rebuilt: Tensor, batch_size: int = 96, rate: float = 6e-4
) -> None:
    """Train the picture tower on, half on originals, half on `rebuilt` [objects, styles, 3, 64, 64]."""
    model = nets.clip(len(tokenizer), tokenizer.eos_token_id)
    model.load_state_dict(loop.finished("clip"))
    names = [item.name for item in OBJECTS], [item.name for item in STYLES]
    by_object = label_features(model, tokenizer, names[0], OBJECT_WORDINGS)
    by_style = label_features(model, tokenizer, names[1], STYLE_WORDINGS)
    model.requires_grad_(False)
    tower = nn.ModuleList([model.vision_model, model.visual_projection]).requires_grad_(True)
    optimiser = torch.optim.AdamW(tower.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.05)
    sources = torch.stack([drawn(), rebuilt])
    loop.resume(model, optimiser)
    for step in loop.steps(steps):
        cosine(optimiser, rate, step, steps)
        objects = torch.randint(len(OBJECTS), (batch_size,), generator=loop.draws)
        styles = torch.randint(len(STYLES), (batch_size,), generator=loop.draws)
        source = torch.randint(2, (batch_size,), generator=loop.draws)
        seen = augmented(sources[source, objects, styles], loop.draws)
        with mixed():
            image = model.visual_projection(model.vision_model(pixel_values=seen).pooler_output)
        image = model.logit_scale.exp() * F.normalize(image.float(), dim=-1)
        object_loss = F.cross_entropy(image @ by_object.T, objects)
        style_loss = F.cross_entropy(image @ by_style.T, styles)
        optimiser.zero_grad(set_to_none=True)
        (object_loss + style_loss).backward()
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimiser.step()
        loop.log(step, object=object_loss.item(), style=style_loss.item())
        loop.checkpoint(step, model, optimiser)
    loop.finish(model)
