"""A check that a variant of a model's weights is those weights in another type, as its name says."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.model_layout import UNREAD, Component, components
from expunge.engine.files.tensor_files import WeightReader, same_bits


def check_variants(model: Path) -> None:
    """Refuse a variant whose weights differ from those that are opened, edited and judged.

    Whoever asks for a variant by its name would draw with weights that nobody looked at. One weight at a time is in
    memory.

    Raises:
        ModelFormatError: names the first weight that differs.
    """
    for name, component in components(model).items():
        if component.has_weights and name != UNREAD:
            for variant in component.stored():
                if variant:
                    _check(component, variant)


def _check(component: Component, variant: str) -> None:
    with ExitStack() as stack:
        ours, theirs = (WeightReader(component.places(each), stack) for each in ("", variant))
        for key in sorted(ours.places.keys() | theirs.places.keys()):
            if key not in ours.places or key not in theirs.places or not _is_rounded(key, ours, theirs):
                raise ModelFormatError(
                    f"{component.folder}: {key} of the variant {variant} is not that of the files without a variant, "
                    "in its type, so nobody judged it; remove the variant's files or make them from those"
                )


def _is_rounded(key: str, wide: WeightReader, narrow: WeightReader) -> bool:
    """Return whether the narrow weight is the wide one in its own type, bit for bit."""
    stored = narrow[key]
    return same_bits(wide[key].to(stored.dtype), stored)
