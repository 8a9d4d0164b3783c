"""Tensors in a file that is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_whole(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file beside `path`, on disk to the last byte, and move it there."""
    scratch = path.with_name(path.name + ".part")
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, scratch, dict(metadata) if metadata else None)
    with open(scratch, "rb+") as handle:
        os.fsync(handle.fileno())
    scratch.replace(path)
