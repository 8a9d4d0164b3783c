"""A store of what a model makes of its own words.

It is the same for all edits, and most of what the default encodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from expunge.engine.editors.base import Moments
from expunge.engine.families import family_of
from expunge.engine.files.atomic import write_whole
from expunge.engine.files.code_closure import closure_digest
from expunge.engine.files.digests import json_digest
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.text.encoder_digest import encoder_digests
from expunge.engine.text.templates import Wording

LIBRARIES = ("tokenizers", "torch", "transformers")


class WordStore:
    """Moments of prompts that stay as they are, in safetensors files under `folder`.

    Each has an address by all that it comes from: weights of the text encoders, tokenizers, what they make of the empty
    prompt, the prompts with their weights, and code. So a plan is the same to the bit with a store and without.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def moments(self, key: str, like: Tensor, make: Callable[[], Moments]) -> Moments:
        """Return the moments stored under `key`, on the device of `like`.

        If they are not there, or not whole, they are made and stored.
        """
        path = self.folder / f"{key}.safetensors"
        if (found := _read(path)) is None:
            found = make()
            self._keep(path, found)
        gram = found.gram.to(like.device)
        return Moments(gram, gram, gram, found.mass)

    def _keep(self, path: Path, found: Moments) -> None:
        held = {"gram": found.gram, "mass": torch.tensor(found.mass, dtype=torch.float64)}
        write_whole(path, save(held, {"digest": tensor_digest(held)}))  # two processes may write what both lack


@cache
def reading_digest() -> str:
    """Return the digest of the code that reads words, because changed code may read others."""
    return closure_digest("planning.concept_embeddings")


def address(pipeline: Any, stream: int, empty: Tensor, tokens: str, weighted: Sequence[tuple[Wording, float]]) -> str:
    """Return the address of the moments of weighted wordings in a text stream.

    `empty` [T, d] is what the stream makes of the empty prompt.
    """
    tokenizers = family_of(pipeline).tokenizers(pipeline, stream)
    digests = encoder_digests(pipeline)
    encoders: dict[str, Any] = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    identity = {
        "code": reading_digest(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "encoders": {
            name: [type(part).__name__, part.config.to_json_string(), digests[name]]
            for name, part in encoders.items()
            if name.startswith("text_encoder")
        },
        "tokenizers": [[own.backend_tokenizer.to_str(), own.model_max_length] for own in tokenizers],
        "pipeline": [type(pipeline).__name__, stream],
        "empty": tensor_digest({"empty": empty}),
        "tokens": tokens,
        "prompts": [[wording.text, *wording.span, weight] for wording, weight in weighted],
    }
    return json_digest(identity)


def _read(path: Path) -> Moments | None:
    """Return the content of the file; None if there is no file, or if it does not hold what was written."""
    try:
        with safe_open(path, "pt") as handle:
            held = {name: handle.get_tensor(name) for name in ("gram", "mass")}
            whole = handle.metadata()["digest"] == tensor_digest(held)
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return Moments(held["gram"], held["gram"], held["gram"], held["mass"].item()) if whole else None
