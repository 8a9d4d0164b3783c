"""The tokenizer: a CLIP byte-pair vocabulary trained on the captions, in the files that CLIPTokenizer reads."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.emoji.training.captions import draw, table
from expunge.engine.emoji.training.nets import TOKENS

START, END = "<|startoftext|>", "<|endoftext|>"
SIZE = 1500


def corpus() -> list[str]:
    rng = random.Random(0)
    drawn = [draw(rng.randrange(len(OBJECTS)), rng.randrange(len(STYLES)), rng).text for _ in range(20_000)]
    return drawn + [caption.text for caption, split in table() if split == "train"]


def train(folder: Path) -> CLIPTokenizer:
    """Learn the vocabulary and save it as a diffusers pipeline expects it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    merges = _merges(alphabet)
    pieces = dict.fromkeys([*letters, *("".join(pair) for pair in merges), START, END])
    tokenizer = _tokenizer({piece: place for place, piece in enumerate(pieces)}, merges)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _tokenizer(vocabulary: dict[str, int], merges: Any) -> CLIPTokenizer:
    special = {"unk_token": END, "bos_token": START, "eos_token": END, "pad_token": END}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS, **special)


def _merges(alphabet: list[str]) -> list[tuple[str, str]]:
    """Learn the merges on words split the way CLIPTokenizer itself splits them."""
    splits = _tokenizer({START: 0, END: 1}, []).backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = splits.normalizer
    learner.pre_tokenizer = splits.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(corpus(), trainer)
    return [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
