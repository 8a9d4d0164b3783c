"""From training weights to the shipped folders, in fp16: `model` (StableDiffusionPipeline) and `judge` (CLIPModel)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer

from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.emoji.training import nets
from expunge.engine.emoji.training.stages.train_clip import OBJECT_WORDINGS, STYLE_WORDINGS


def text_encoder(clip: Any) -> Any:
    """Return the CLIP's text tower as the pipeline's text encoder."""
    encoder = CLIPTextModel(clip.config.text_config)
    source = {name.removeprefix("text_model."): value for name, value in clip.state_dict().items()}
    wanted = {name: source[name.removeprefix("text_model.")] for name in encoder.state_dict()}
    encoder.load_state_dict(wanted)
    return encoder.eval()


def pipeline(clip: Any, vae: Any, unet: Any, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    build: Any = StableDiffusionPipeline
    return build(
        vae=vae.eval(),
        text_encoder=text_encoder(clip),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=nets.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_model(pipe: StableDiffusionPipeline, folder: Path) -> None:
    pipe.to(torch.float16).save_pretrained(folder, safe_serialization=True)


def save_judge(clip: Any, tokenizer: CLIPTokenizer, folder: Path) -> None:
    clip.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    processor.save_pretrained(folder)
    labels = {
        "object": {"labels": [item.name for item in OBJECTS], "wordings": list(OBJECT_WORDINGS)},
        "style": {"labels": [item.name for item in STYLES], "wordings": list(STYLE_WORDINGS)},
    }
    (folder / "labels.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")
