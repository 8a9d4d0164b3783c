"""Which model folders are read: complete safetensors and nothing else, of classes that the libraries have, no code."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import safe_open

from expunge.engine.errors import ModelFormatError, UnknownArchitecture
from expunge.engine.families import FAMILIES, family_named
from expunge.engine.files.digests import files
from expunge.engine.files.model_layout import (
    INDEX,
    UNREAD,
    Component,
    check_complete,
    check_layout,
    components,
    few,
    keys,
    read_index,
)
from expunge.engine.files.reading.configs import check_config, read_config
from expunge.engine.files.sound_folder import check_sound
from expunge.engine.files.weight_variants import check_variants

DENOISERS = {name for family in FAMILIES for name in family.denoisers}
LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
HELPERS = (
    diffusers.SchedulerMixin,
    transformers.PreTrainedTokenizerBase,
    transformers.ProcessorMixin,
    transformers.FeatureExtractionMixin,
    transformers.ImageProcessingMixin,
)
RENAMED = {"CLIPFeatureExtractor"}
"""Classes that diffusers knows by a name of before."""
STORED_IN = {"F16", "BF16", "F32", "F64"}
AGAIN = f"download it again, or save it anew with diffusers {diffusers.__version__}"


def pipeline_name(folder: Path) -> str:
    """Return the name of the diffusers class of a model's folder."""
    name = read_index(folder).get("_class_name")
    if not isinstance(name, str):
        raise ModelFormatError(f"{folder / INDEX} names no pipeline; give a folder in diffusers layout")
    return name


def pipeline_class(folder: Path) -> Any:
    name = pipeline_name(folder)
    family_named(name)
    return getattr(diffusers, name)


def check_format(folder: Path) -> None:
    """Raise ModelFormatError unless the folder holds all of a model and nothing else, each file whole.

    Raises UnknownArchitecture where no edit can be written into the format of its weights.
    """
    if not folder.is_dir():
        raise ModelFormatError(f"{folder} is not a folder; give the folder that holds {INDEX}")
    check_sound(folder)
    found = files(folder)
    _check_classes(folder, pipeline_class(folder))
    for path in found:
        _check_said(path)
    check_layout(folder, found)
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
        if name == UNREAD:
            _check_library(component, "stable_diffusion", *LIBRARIES)
        elif component.has_weights:
            _check_own_class(component, class_of(component))
        else:
            _check_helper(component)


def _check_library(component: Component, *known: str) -> None:
    """Refuse a component of any other library.

    It would be a module, of the folder or installed, whose code would run.
    """
    if component.library not in known:
        raise ModelFormatError(
            f"{component.folder} is of the library {component.library!r} by {INDEX}, which is not read; {AGAIN}"
        )


def _check_own_class(component: Component, kind: Any) -> None:
    """Refuse a network whose configuration names another class than the index does.

    Some loaders go by the one, some by the other.
    """
    path = component.folder / "config.json"
    said = read_config(path) if path.is_file() else {}
    field, wanted = ("_class_name", component.kind)
    if component.library == "transformers":
        field, wanted = "model_type", getattr(getattr(kind, "config_class", None), "model_type", None)
    _check_field(path, said, field, wanted)


def _check_helper(component: Component) -> None:
    """Refuse a component without weights unless it is a tokenizer, scheduler or processor of a library.

    It may be no network and no code.
    """
    _check_library(component, *LIBRARIES)
    kind = getattr(LIBRARIES[component.library], component.kind, None)
    known = isinstance(kind, type) and issubclass(kind, HELPERS)
    if not known and component.kind not in RENAMED:
        raise ModelFormatError(
            f"{component.folder} is a {component.library}.{component.kind} by {INDEX}, which is no tokenizer, "
            f"scheduler or processor; {AGAIN}"
        )
    if (path := component.folder / "scheduler_config.json").is_file():
        _check_field(path, read_config(path), "_class_name", component.kind)


def _check_field(path: Path, said: Any, field: str, wanted: str | None) -> None:
    found = said.get(field) if isinstance(said, dict) else None
    if found is not None and wanted is not None and found != wanted:
        raise ModelFormatError(
            f"{path} says {field} {found!r}, and {INDEX} names a class of {wanted!r}: loaders differ in which they "
            "take; write the same in both"
        )


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
    config = read_config(path) if path.is_file() else {}
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


def _check_said(path: Path) -> None:
    """Refuse what a file says of code or files elsewhere, and weights that are said to be of another format."""
    if path.suffix == ".json":
        check_config(path)
    if path.suffix == ".safetensors":
        keys(path)
        with safe_open(path, "np") as handle:
            form = (handle.metadata() or {}).get("format", "pt")
        if form != "pt":
            raise ModelFormatError(f"{path} says in its header that it has the format {form!r}, not 'pt'; {AGAIN}")
