"""A real Stable Diffusion pipeline, as small as the classes allow, built offline from configs and one seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS, WIDTH = 24, 32
TEXT = """
cat dog horse apple pear house car taxi tree boat ship lamp chair table cup river stone cloud flower
bread noto blob flat line gouache style picture photo drawing painting image sketch icon small big
close up white background red green blue yellow garden street window paper music guitar piano drum
ball kite bird fish a an the one of in by and art is on with kitty robot rocket planet moon star sun
rain snow wind fire water
"""
WORDS = TEXT.split()


def tokenizer() -> CLIPTokenizer:
    """Byte-pair merges that spell most of `WORDS` in one token; a learner would break ties by chance."""
    merges: list[Any] = list(dict.fromkeys(merge for word in WORDS for merge in _spelt(word)))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    pieces = dict.fromkeys([*letters, *("".join(pair) for pair in merges), START, END])
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    special = {"unk_token": END, "bos_token": START, "eos_token": END, "pad_token": END}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS, **special)


def _spelt(word: str) -> list[Any]:
    letters = [*word[:-1], word[-1] + "</w>"]
    return [(word[:place], letters[place]) for place in range(1, len(word))]


def unet(**more: Any) -> UNet2DConditionModel:
    """Of two blocks, of which the wider one has no attention to text unless `more` says so."""
    blocks: dict[str, Any] = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 2,
        **more,
    }
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=4, **blocks
    )


def clip(kind: Any = CLIPTextModel, width: int = WIDTH, layers: int = 2, **more: Any) -> Any:
    """A text encoder of this kind; embeddings spread as in a trained one."""
    words = tokenizer()
    end = words.get_vocab()[END]
    return kind(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            max_position_embeddings=TOKENS,
            bos_token_id=end - 1,
            eos_token_id=end,
            pad_token_id=end,
            initializer_factor=5.0,
            **more,
        )
    )


def vae(**more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8),  # type: ignore[arg-type]
        down_block_types=("DownEncoderBlock2D",) * 2,  # type: ignore[arg-type]
        up_block_types=("UpDecoderBlock2D",) * 2,  # type: ignore[arg-type]
        norm_num_groups=4,
        **more,
    )


def pipeline(seed: int = 0) -> StableDiffusionPipeline:
    """The same weights for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text, compressor, denoiser = clip(), vae(), unet()
    scheduler: Any = DDIMScheduler(steps_offset=1, clip_sample=False)
    more: Any = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    made = StableDiffusionPipeline(compressor, text, tokenizer(), denoiser, scheduler, **more)
    made.set_progress_bar_config(disable=True)
    return made


def save(folder: Path, seed: int = 0) -> Path:
    pipeline(seed).save_pretrained(folder, safe_serialization=True)
    return folder


def save_edited(folder: Path) -> Path:
    """The base as `save` writes it, with another denoiser."""
    made = pipeline()
    made.unet = pipeline(seed=1).unet
    made.save_pretrained(folder, safe_serialization=True)
    return folder
