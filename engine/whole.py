"""Files and folders that are there whole or not at all; tensors in a file the same to the byte for the same tensors."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from safetensors.torch import save_file
from torch import Tensor


def beside(out: Path) -> Path:
    """Where a file or folder is written before it takes its place: hidden, so that it is nobody's own."""
    return out.with_name(f".{out.name}.part")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Where to write a folder, not there yet, that takes the place of `out` at the end."""
    scratch = beside(out)
    shutil.rmtree(scratch, ignore_errors=True)
    yield scratch
    shutil.rmtree(out, ignore_errors=True)
    scratch.rename(out)


def save_whole(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file beside `path`, on disk to the last byte, and move it there."""
    scratch = beside(path)
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, scratch, dict(metadata) if metadata else None)
    with open(scratch, "rb+") as handle:
        _order_metadata(handle)
        handle.flush()
        os.fsync(handle.fileno())
    scratch.replace(path)


def _order_metadata(handle: IO[bytes]) -> None:
    """Sort the metadata by name: the library writes more than one entry in an order that changes with each process."""
    (length,) = struct.unpack("<Q", handle.read(8))
    header = json.loads(handle.read(length))
    if len(header.get("__metadata__", {})) < 2:
        return
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    if len(ordered) > length:
        raise RuntimeError("a safetensors header does not fit its place once it is sorted")  # never seen; not silently
    handle.seek(8)
    handle.write(ordered.ljust(length))
