"""What a CLIP folder makes of pictures and prompts: the features that judges and quality figures are computed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from expunge.engine.files.digests import folder_digest
from expunge.engine.linalg import steady

BATCH = 64
DEPTHS = 5  # as many layers as LPIPS reads of its networks


@dataclass(frozen=True)
class Features:
    """The features of n pictures, as float64 arrays with a row a picture.

    `joint` are unit vectors in the space shared with texts; `pooled` is what the image tower ends in, before any
    projection. The squared Euclidean distance of two rows of `perceptual` is the LPIPS-like distance of the pictures:
    patch features of `DEPTHS` blocks, evenly spaced and ending in the last, each patch scaled to a unit vector over its
    channels, the squared difference summed over channels and averaged over patches and blocks (Zhang et al., arXiv
    1801.03924, eq. 1, with every channel weight 1). It lies in [0, 4]; 2 is unrelated.
    """

    joint: np.ndarray
    pooled: np.ndarray
    perceptual: np.ndarray


class ClipNetwork:
    """A `CLIPModel` folder (model, tokenizer, image processor), named by its digest; pictures: uint8 [n, h, w, 3].

    All is computed on one thread, so that the figures are the same on any number of cores.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.digest = folder_digest(folder)
        model: Any = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        self._model = model.eval().to(device)
        self._tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        self._processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        self._device = device

    @property
    def scale(self) -> Tensor:
        """The factor that turns cosines into logits."""
        return self._model.logit_scale.exp().detach().cpu()

    @steady
    @torch.no_grad()
    def pictures(self, pictures: np.ndarray) -> Tensor:
        """Return the unit vectors of pictures in the space shared with texts, float32 [n, projection]."""
        return torch.cat([self._joint(read.pooler_output) for read in self._read(pictures)]).cpu()

    @steady
    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Return the unit vectors of texts in the space shared with pictures, float32 [n, projection]."""
        tokens = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self._device)
        return normalize(self._model.text_projection(self._model.text_model(**tokens).pooler_output), dim=-1).cpu()

    @steady
    @torch.no_grad()
    def features(self, pictures: np.ndarray) -> Features:
        """All that quality figures are computed from, in one pass."""
        rows = [
            (self._joint(read.pooler_output), read.pooler_output, _perceptual(read.hidden_states[1:]))
            for read in self._read(pictures, output_hidden_states=True)
        ]
        return Features(*(torch.cat(part).cpu().double().numpy() for part in zip(*rows, strict=True)))

    def _joint(self, pooled: Tensor) -> Tensor:
        return normalize(self._model.visual_projection(pooled), dim=-1)

    def _read(self, pictures: np.ndarray, **options: bool) -> Iterator[Any]:
        for start in range(0, len(pictures), BATCH):
            pixels = self._processor(list(pictures[start : start + BATCH]), return_tensors="pt").pixel_values
            yield self._model.vision_model(pixel_values=pixels.to(self._device), **options)


def _perceptual(blocks: Sequence[Tensor]) -> Tensor:
    """`Features.perceptual` [n, values] from the output of every block [n, 1 + patches, width]."""
    depths = sorted({max(1, round(depth)) for depth in np.linspace(len(blocks) / DEPTHS, len(blocks), DEPTHS)})
    patches = torch.stack([normalize(blocks[depth - 1][:, 1:], dim=-1) for depth in depths], dim=1)
    return patches.flatten(1) / (patches.shape[1] * patches.shape[2]) ** 0.5
