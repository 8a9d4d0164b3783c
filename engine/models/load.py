"""Open a model folder: complete safetensors and nothing else, digest first, offline, nothing that could run code."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from expunge.engine.errors import DigestMismatch, EngineError, ModelFormatError, is_out_of_memory
from expunge.engine.files.digests import folder_digest
from expunge.engine.files.model_layout import UNREAD, Component, components, few
from expunge.engine.models.format import AGAIN, check_format, class_of, pipeline_class
from expunge.engine.models.unread import check_read

LAYOUT = "channels-last"


def open_model(
    folder: str | Path,
    expected: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Any:
    """Return the diffusers pipeline in `folder`, with safety checker and progress bar off.

    `expected` is its `folder_digest`, checked before anything is loaded. Raises ModelFormatError, DigestMismatch or
    UnknownArchitecture. The safety checker turns pictures black, and black would count as forgotten.
    """
    folder = Path(folder)
    check_format(folder)
    if expected is not None and (found := folder_digest(folder)) != expected:
        raise DigestMismatch(f"model folder {folder.name}", expected, found, "fetch the base model again")
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        pipeline = _pipeline(folder, dtype)
    except (EngineError, ImportError, MemoryError):
        raise
    except Exception as error:  # the libraries raise every kind there is
        if is_out_of_memory(error):
            raise
        raise ModelFormatError(f"{folder} does not open ({_said(error)}); {AGAIN}") from error
    pipeline.set_progress_bar_config(disable=True)
    return _laid_out(pipeline.to(device))


def _pipeline(folder: Path, dtype: torch.dtype) -> Any:
    parts = {name: part for name, part in components(folder).items() if name != UNREAD}
    networks = {name: _network(part, dtype) for name, part in parts.items() if part.has_weights}
    return pipeline_class(folder).from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
        dtype=dtype,
        **networks,
    )


def _network(component: Component, dtype: torch.dtype) -> Any:
    """Open a network from files that hold all its weights: transformers would make up missing ones at random."""
    network, report = class_of(component).from_pretrained(
        component.folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    if missing := sorted(report["missing_keys"]):
        raise ModelFormatError(f"{component.folder} lacks the weights {few(missing)}; {AGAIN}")
    check_read(network, component, report["unexpected_keys"], AGAIN)
    return network


def _said(error: Exception) -> str:
    return textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__


def _laid_out(pipeline: Any) -> Any:
    """Put a UNet's kernels in the layout with channels last.

    A processor then draws faster (`benchmarks/verification/drawing.py`). The pictures stay the same but for rounding.
    """
    has_kernels = isinstance(getattr(pipeline, "unet", None), diffusers.UNet2DConditionModel)
    if has_kernels and pipeline.device.type == "cpu":
        pipeline.unet.to(memory_format=torch.channels_last)
    return pipeline


def tokenizers(folder: Path) -> dict[str, Any]:
    """Return the tokenizers of the pipeline in `folder` by component name, without loading any weight."""
    return {
        name: getattr(transformers, component.kind).from_pretrained(component.folder, local_files_only=True)
        for name, component in components(folder).items()
        if name.startswith("tokenizer")
    }


def vae_and_scheduler(folder: Path) -> dict[str, Any]:
    """Return how the pipeline in `folder` takes pictures in and walks to them, by component name, in float32."""
    parts = components(folder)
    walk = getattr(diffusers, parts["scheduler"].kind).from_pretrained(parts["scheduler"].folder, local_files_only=True)
    return {"vae": _network(parts["vae"], torch.float32), "scheduler": walk}
