"""The folder of an edited model: a copy of its base's, in which only the weights of the edit differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from expunge.engine.errors import EditError
from expunge.engine.files.atomic import copy_folder, whole_folder
from expunge.engine.files.digests import files
from expunge.engine.files.model_layout import check_complete, check_layout, components
from expunge.engine.files.tensor_files import WeightReader, save_whole
from expunge.engine.files.weight_variants import check_variants
from expunge.engine.linalg import ratio
from expunge.engine.plans.edit_plan import EditPlan, checked, edited

Change = Callable[[str, Tensor, Tensor], tuple[Tensor, float]]
"""Takes a weight's name, the weight and its delta; returns the edited weight and the share of the delta lost."""


def write_edited(base: Path, plan: EditPlan, out: Path) -> dict[str, float]:
    """Copy the pipeline folder `base` to `out` with the plan's deltas added; all other bytes are the base's own.

    The sum is taken in float64 and written in each weight's own type. Variants are made of what was written. The result
    gives the share of each delta that was lost in rounding, the largest of its variants. After an error `out` is not
    there.

    Raises:
        EditError: names a weight that is not in the base, or is not finite after the edit.
        ModelFormatError: names a file that no edit would reach, or a variant of other weights.
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
    """Edit the weights that are opened, and make each variant of them anew.

    So a variant is the same weights in its own type.
    """
    rounding, known = dict.fromkeys(deltas, 0.0), components(model)
    for component in _by_component(deltas):
        stored = known[component].stored()
        for path in stored.pop(""):
            rounding |= _rewrite(path, component, deltas, edited)
        with ExitStack() as stack:
            whole = WeightReader(known[component].places(), stack)
            for path in (path for paths in stored.values() for path in paths):
                found = _rewrite(path, component, deltas, partial(_rounded, whole))
                rounding |= {name: max(error, rounding[name]) for name, error in found.items()}
    return rounding


def _rounded(whole: WeightReader, name: str, before: Tensor, delta: Tensor) -> tuple[Tensor, float]:
    """Return the edited weight in the type of a variant, and the share of the delta that is lost in it."""
    rounded = checked(name, whole[name.partition(".")[2]].to(before.dtype))
    change = rounded.double() - before.double()
    return rounded, ratio((change - delta.double()).norm(), delta.double().norm())


def _by_component(deltas: Mapping[str, Tensor]) -> dict[str, list[str]]:
    return {part: list(names) for part, names in groupby(sorted(deltas), lambda name: name.partition(".")[0])}


def _rewrite(path: Path, component: str, deltas: Mapping[str, Tensor], change: Change) -> dict[str, float]:
    """Change those weights in one file that the deltas name, and return the errors of rounding."""
    with safe_open(path, "pt") as handle:
        keys = list(handle.keys())
        if not any(f"{component}.{key}" in deltas for key in keys):
            return {}
        metadata, tensors = handle.metadata(), {key: handle.get_tensor(key) for key in keys}
    rounding = {}
    for key in keys:
        name = f"{component}.{key}"
        if name in deltas:
            tensors[key], rounding[name] = change(name, tensors[key], deltas[name])
    save_whole(tensors, path, metadata)
    return rounding
