"""Names for content: values, files, folders and tensors each have one sha256, wherever and whenever they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.canonical import canonical_json, sha256
from engine.errors import ModelFormatError
from engine.layout import INDEX, check_layout


def json_digest(value: Any) -> str:
    return sha256(canonical_json(value))


def file_digest(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def code_digest(paths: Iterable[Path]) -> str:
    """Of source files, by their names."""
    return json_digest({path.name: file_digest(path) for path in paths})


def files(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted; ModelFormatError on a symlink, which could lead anywhere."""
    found = sorted(folder.rglob("*"))
    for path in [folder, *found]:
        if path.is_symlink():
            raise ModelFormatError(f"{path} is a symbolic link; copy the file itself into the folder")
    return [path for path in found if path.is_file()]


def folder_digest(folder: str | Path) -> str:
    """sha256 over the canonical JSON of {relative posix path: sha256} of every file in the folder.

    ModelFormatError if it is a model's and holds more than the model: the cache of a download differs with each.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelFormatError(f"{folder} is not a folder; give the folder that holds model_index.json")
    found = files(folder)
    if (folder / INDEX).is_file():
        check_layout(folder, found)
    return json_digest({path.relative_to(folder).as_posix(): file_digest(path) for path in found})


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over each tensor's name, dtype, shape and little-endian bytes, sorted by name; device does not matter."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        header = {"name": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        total.update(canonical_json(header) + b"\n")
        total.update(_little_endian(tensor))
    return total.hexdigest()


def _little_endian(tensor: Tensor) -> bytes:
    raw = tensor.flatten().view(torch.uint8).numpy().reshape(-1, tensor.element_size())
    return (raw if _HOST_IS_LITTLE else raw[:, ::-1]).tobytes()


_HOST_IS_LITTLE = torch.tensor([1], dtype=torch.int16).view(torch.uint8)[0].item() == 1
