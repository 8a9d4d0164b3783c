"""What somebody may do to a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor


def rewrite(file: Path, change: Callable[[dict[str, Tensor]], object], metadata: str = "pt") -> None:
    """The same file with what `change` makes of its tensors."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, {"format": metadata})
