"""Whether a variant of a model's weights is those weights in another type, as its name says."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.model_layout import UNREAD, Component, components

FREE = ("vae", UNREAD)
"""Neither brings a concept back, and autoencoders are often kept with others' weights for half precision."""


def check_variants(model: Path) -> None:
    """ModelFormatError names the first weight that a variant holds otherwise than the weights that were opened.

    A plan is made for these. Stale or foreign ones would be edited all the same, and come to anything, which nobody
    looked at. One weight at a time is in memory.
    """
    for name, component in components(model).items():
        if component.has_weights and name not in FREE:
            for variant in component.stored():
                if variant:
                    _check(component, variant)


def _check(component: Component, variant: str) -> None:
    ours, theirs = component.places(), component.places(variant)
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in ours or key not in theirs or not _is_rounded(key, ours[key], theirs[key]):
            raise ModelFormatError(
                f"{component.folder}: {key} of the variant {variant} is not that of the files without a variant, in "
                "its type, so the edit of one is none of the other; remove the variant's files or make them from those"
            )


def _is_rounded(key: str, wide: Path, narrow: Path) -> bool:
    """Whether the narrow one is the wide one in its own type, to the bit."""
    with safe_open(wide, "pt") as origin, safe_open(narrow, "pt") as found:
        stored = found.get_tensor(key)
        wanted = origin.get_tensor(key).to(stored.dtype)
    return wanted.shape == stored.shape and torch.equal(_bits(wanted), _bits(stored))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)
