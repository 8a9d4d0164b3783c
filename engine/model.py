"""Open a model folder: complete safetensors only, digest first, offline, nothing that could run code."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from engine.digests import files, folder_digest, tensor_digest
from engine.errors import DigestMismatch, ModelFormatError
from engine.families import family_named

__all__ = ["LAYOUT", "folder_digest", "open_model", "tensor_digest"]

LAYOUT = "channels-last"
PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}


def open_model(
    folder: str | Path,
    expected: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Any:
    """The diffusers pipeline in `folder`, safety checker and progress bar off.

    `expected` is its `folder_digest`, checked before anything is loaded. Raises ModelFormatError, DigestMismatch or
    UnknownArchitecture. The safety checker turns pictures black, and black would count as forgotten.
    """
    folder = Path(folder)
    _check_format(folder)
    if expected is not None and (found := folder_digest(folder)) != expected:
        raise DigestMismatch(f"model folder {folder.name}", expected, found, "fetch the base model again")
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    pipeline = _pipeline_class(folder).from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
        dtype=dtype,
    )
    pipeline.set_progress_bar_config(disable=True)
    return _laid_out(pipeline.to(device))


def _laid_out(pipeline: Any) -> Any:
    """A UNet's kernels with channels last, by which a processor draws faster (`benchmarks/drawing.py`); the same
    pictures but for rounding."""
    has_kernels = isinstance(getattr(pipeline, "unet", None), diffusers.UNet2DConditionModel)
    if has_kernels and pipeline.device.type == "cpu":
        pipeline.unet.to(memory_format=torch.channels_last)
    return pipeline


def tokenizers(folder: Path) -> dict[str, Any]:
    """The tokenizers of the pipeline in `folder` by component name, without any weight."""
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    return {
        name: getattr(transformers, kind[1]).from_pretrained(folder / name, local_files_only=True)
        for name, kind in index.items()
        if name.startswith("tokenizer") and kind[1]
    }


def _pipeline_class(folder: Path) -> Any:
    try:
        name = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(f"{folder}: no readable model_index.json; give a folder in diffusers layout") from error
    family_named(name)
    return getattr(diffusers, name)


def _check_format(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelFormatError(f"{folder} is not a folder; give the folder that holds model_index.json")
    for path in files(folder):
        if path.suffix.lower() in PICKLES:
            raise ModelFormatError(f"{path} is a pickle and could run code; convert it to safetensors and remove it")
        _check_body(path)


def _check_body(path: Path) -> None:
    with open(path, "rb") as handle:
        start = handle.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise ModelFormatError(f"{path} is a Git LFS pointer, not the file; run `git lfs pull`")
    if path.suffix == ".safetensors":
        if start.lstrip()[:1] == b"<":
            raise ModelFormatError(f"{path} is a web page, not weights; download it again, signed in if need be")
        _check_size(path)


def _check_size(path: Path) -> None:
    """A safetensors file is 8 bytes of header length, the header, then exactly the bytes the header names."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as handle:
            length = struct.unpack("<Q", handle.read(8))[0]
            header = json.loads(handle.read(length)) if length <= size - 8 else {}
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{path} is not a safetensors file; download it again") from error
    if not ends or size != 8 + length + max(ends):
        raise ModelFormatError(f"{path} is truncated or has bytes to spare ({size} bytes); download it again")
