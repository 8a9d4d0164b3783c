"""Tensors by content: one sha256 for them, and the same file, to the byte, for the same tensors."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from expunge.canonical_json import canonical_json
from expunge.engine.files.atomic import beside, sync_folder


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over each tensor's name, dtype, shape and little-endian bytes, sorted by name.

    The device does not matter.
    """
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


class WeightReader:
    """Weights by name, read one at a time from the files that `places` names for them."""

    def __init__(self, places: Mapping[str, Path], stack: ExitStack) -> None:
        self.places = places
        self._open = {path: stack.enter_context(safe_open(path, "pt")) for path in set(places.values())}

    def __getitem__(self, name: str) -> Tensor:
        return self._open[self.places[name]].get_tensor(name)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same type, shape and bits."""
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(_bits(one), _bits(other))


def same_value(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are the same once the one of more bits is rounded to the type of the other."""
    if one.dtype == other.dtype:
        return same_bits(one, other)
    return same_bits(one.to(other.dtype), other) or same_bits(one, other.to(one.dtype))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)


def save_whole(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file beside `path`, on disk to the last byte, and move it there.

    Raises:
        OSError: as for any file.
    """
    scratch = beside(path)
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    scratch.unlink(missing_ok=True)
    try:
        scratch.touch()
        mode = (path if path.exists() else scratch).stat().st_mode  # the library makes files for their owner alone
        save_file(plain, scratch, dict(metadata) if metadata else None)
        with open(scratch, "rb+") as handle:
            _order_metadata(handle)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.chmod(mode)
        scratch.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        if isinstance(error, SafetensorError) and (said := re.search(r"os error (\d+)", str(error))):
            raise OSError(code := int(said[1]), os.strerror(code), str(path)) from error  # the library's has no number
        raise


def _order_metadata(handle: IO[bytes]) -> None:
    """Sort the metadata by name: the library writes several entries in an order that changes with each process."""
    (length,) = struct.unpack("<Q", handle.read(8))
    header = json.loads(handle.read(length))
    if len(header.get("__metadata__", {})) < 2:
        return
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    if len(ordered) > length:
        raise RuntimeError("a safetensors header does not fit its place once it is sorted")  # never seen, never silent
    handle.seek(8)
    handle.write(ordered.ljust(length))
