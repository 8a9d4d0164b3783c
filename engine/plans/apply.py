"""An edited model's folder: a copy of its base's, in which only the weights that the edit changes are others."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from expunge.engine.errors import EditError
from expunge.engine.files.atomic import copy_folder, whole_folder
from expunge.engine.files.digests import files
from expunge.engine.files.model_layout import check_complete, check_layout, components
from expunge.engine.files.tensor_files import save_whole
from expunge.engine.files.weight_variants import check_variants
from expunge.engine.plans.edit_plan import EditPlan, edited


def write_edited(base: Path, plan: EditPlan, out: Path) -> dict[str, float]:
    """Copy the pipeline folder `base` to `out` with the plan's deltas added; all other bytes are the base's own.

    The sum is taken in float64 and written in each weight's own type; returned is the share of each delta that was lost
    in rounding to it, the largest of its variants. EditError names a weight that is not in the base or is not finite
    after the edit, ModelFormatError a file that no edit would reach, or a variant of other weights; then `out` is not
    there.
    """
    check_layout(base, files(base))
    check_complete(base)
    _check_held(base, plan.deltas)
    check_variants(base)
    with whole_folder(out) as scratch:
        copy_folder(base, scratch)
        return _edit(scratch, plan.deltas)


def _check_held(base: Path, deltas: Mapping[str, Tensor]) -> None:
    known = components(base)
    for component, names in _by_component(deltas).items():
        part = known.get(component)
        held = {variant: part.places(variant) for variant in part.stored()} if part else {"": {}}
        for variant, places in held.items():
            if missing := [name for name in names if name.partition(".")[2] not in places]:
                where = f"the variant {variant} of the base model" if variant else "the base model"
                raise EditError(missing[0], f"is not in {where}; plan the edit on this base")


def _edit(model: Path, deltas: Mapping[str, Tensor]) -> dict[str, float]:
    """A folder may hold the same weights in several variants, and each must forget."""
    rounding, known = dict.fromkeys(deltas, 0.0), components(model)
    for component in _by_component(deltas):
        for path in (path for paths in known[component].stored().values() for path in paths):
            found = _add(path, component, deltas)
            rounding |= {name: max(error, rounding[name]) for name, error in found.items()}
    return rounding


def _by_component(deltas: Mapping[str, Tensor]) -> dict[str, list[str]]:
    return {part: list(names) for part, names in groupby(sorted(deltas), lambda name: name.partition(".")[0])}


def _add(path: Path, component: str, deltas: Mapping[str, Tensor]) -> dict[str, float]:
    """Add to the weights in one file the deltas that name them; the errors of rounding."""
    with safe_open(path, "pt") as handle:
        keys = list(handle.keys())
        if not any(f"{component}.{key}" in deltas for key in keys):
            return {}
        metadata, tensors = handle.metadata(), {key: handle.get_tensor(key) for key in keys}
    rounding = {}
    for key in keys:
        name = f"{component}.{key}"
        if name in deltas:
            tensors[key], rounding[name] = edited(name, tensors[key], deltas[name])
    save_whole(tensors, path, metadata)
    return rounding
