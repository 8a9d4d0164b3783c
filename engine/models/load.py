"""Open a model folder: complete safetensors and nothing else, digest first, offline, nothing that could run code."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import safe_open

from expunge.engine.errors import DigestMismatch, EngineError, ModelFormatError, UnknownArchitecture, is_out_of_memory
from expunge.engine.families import FAMILIES, family_named
from expunge.engine.files.digests import files, folder_digest
from expunge.engine.files.model_layout import (
    INDEX,
    UNREAD,
    Component,
    check_complete,
    check_layout,
    components,
    few,
    read_index,
)
from expunge.engine.files.sound_folder import check_sound
from expunge.engine.files.strict_json import read_json
from expunge.engine.files.weight_variants import check_variants

LAYOUT = "channels-last"
DENOISERS = {name for family in FAMILIES for name in family.denoisers}
LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
STORED_IN = {"F16", "BF16", "F32", "F64"}
AGAIN = f"download it again, or save it anew with diffusers {diffusers.__version__}"


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
    return _pipeline_class(folder).from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        safety_checker=None,
        requires_safety_checker=False,
        dtype=dtype,
        **networks,
    )


def _network(component: Component, dtype: torch.dtype) -> Any:
    """Opened from files that hold all its weights: what they lack, transformers would make up at random."""
    network, report = class_of(component).from_pretrained(
        component.folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    if missing := sorted(report["missing_keys"]):
        raise ModelFormatError(f"{component.folder} lacks the weights {few(missing)}; {AGAIN}")
    if (unread := sorted(report["unexpected_keys"])) and component.folder.name in DENOISERS:
        raise ModelFormatError(
            f"{component.folder} holds {few(unread)}, which a {component.kind} does not read: copies that no edit "
            f"would reach; {AGAIN}"
        )
    return network


def _said(error: Exception) -> str:
    return textwrap.shorten(str(error), 200, placeholder=" ...") or type(error).__name__


def _laid_out(pipeline: Any) -> Any:
    """A UNet's kernels with channels last, by which a processor draws faster (`benchmarks/drawing.py`); the same
    pictures but for rounding."""
    has_kernels = isinstance(getattr(pipeline, "unet", None), diffusers.UNet2DConditionModel)
    if has_kernels and pipeline.device.type == "cpu":
        pipeline.unet.to(memory_format=torch.channels_last)
    return pipeline


def tokenizers(folder: Path) -> dict[str, Any]:
    """The tokenizers of the pipeline in `folder` by component name, without any weight."""
    return {
        name: getattr(transformers, component.kind).from_pretrained(component.folder, local_files_only=True)
        for name, component in components(folder).items()
        if name.startswith("tokenizer")
    }


def vae_and_scheduler(folder: Path) -> dict[str, Any]:
    """How the pipeline in `folder` takes pictures in and walks to them, by component name, in float32."""
    parts = components(folder)
    walk = getattr(diffusers, parts["scheduler"].kind).from_pretrained(parts["scheduler"].folder, local_files_only=True)
    return {"vae": _network(parts["vae"], torch.float32), "scheduler": walk}


def pipeline_name(folder: Path) -> str:
    """The diffusers class that a model's folder is of."""
    name = read_index(folder).get("_class_name")
    if not isinstance(name, str):
        raise ModelFormatError(f"{folder / INDEX} names no pipeline; give a folder in diffusers layout")
    return name


def _pipeline_class(folder: Path) -> Any:
    name = pipeline_name(folder)
    family_named(name)
    return getattr(diffusers, name)


def check_format(folder: Path) -> None:
    """ModelFormatError unless it is a model's folder that holds all of the model and nothing else, each file whole;
    UnknownArchitecture where its weights are not held in a way that an edit can be written in."""
    if not folder.is_dir():
        raise ModelFormatError(f"{folder} is not a folder; give the folder that holds {INDEX}")
    check_sound(folder)
    _check_classes(folder, _pipeline_class(folder))
    check_layout(folder, files(folder))
    check_complete(folder)
    for name, component in components(folder).items():
        if component.has_weights and name != UNREAD:
            _check_unquantised(component)
        if "Tokenizer" in component.kind:
            _check_tokenizer(component)
        if name in DENOISERS:
            _check_stored(component)
    check_variants(folder)


def _check_classes(folder: Path, pipeline_class: Any) -> None:
    taken = inspect.signature(pipeline_class.__init__).parameters
    for name, component in components(folder).items():
        if name not in taken:
            raise ModelFormatError(
                f"{folder / name} is no part of a {pipeline_class.__name__}; delete it and its line in {INDEX}"
            )
        if component.has_weights and name != UNREAD:
            class_of(component)


def class_of(component: Component) -> Any:
    """Return the class of a component with weights; ModelFormatError if the libraries have none of that name."""
    kind = getattr(LIBRARIES.get(component.library), component.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise ModelFormatError(
            f"{component.folder} is a {component.library}.{component.kind} by {INDEX}, and neither diffusers "
            f"{diffusers.__version__} nor transformers {transformers.__version__} has it; save the model with these"
        )
    return kind


def _check_unquantised(component: Component) -> None:
    """Such weights are codes, which no edit can be added to, and need a library of their own to be read at all."""
    path = component.folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    if isinstance(config, dict) and config.get("quantization_config"):
        raise UnknownArchitecture(
            f"{component.folder} is quantised (quantization_config in its config.json); take the {component.kind} with "
            "its plain weights, as it was before quantisation"
        )


def _check_stored(denoiser: Component) -> None:
    """Types of fewer bits are opened as wider ones, and the edit would be lost where it is written back in them."""
    for path in (path for paths in denoiser.stored().values() for path in paths):
        with safe_open(path, "pt") as handle:
            types = {name: handle.get_slice(name).get_dtype() for name in handle.keys()}  # noqa: SIM118 - it is no dict
        if unfit := [name for name, kind in types.items() if kind not in STORED_IN]:
            raise UnknownArchitecture(
                f"{path} holds {few(unfit)} as {types[unfit[0]]}, too few bits for an edit; take the model with "
                "float16, bfloat16 or float32 weights, as it was before they were made smaller"
            )


def _check_tokenizer(component: Component) -> None:
    """Without its files a tokenizer opens too, with no words or no end."""
    named = dict(getattr(getattr(transformers, component.kind, None), "vocab_files_names", None) or {})
    here = {path.name for path in component.folder.iterdir()}
    whole = named.pop("tokenizer_file", "tokenizer.json")
    words = [] if whole in here else [name for name in named.values() if name not in here]
    if missing := [*words, *({"tokenizer_config.json"} - here)]:
        raise ModelFormatError(f"{component.folder} lacks {' and '.join(missing)}; {AGAIN}")
