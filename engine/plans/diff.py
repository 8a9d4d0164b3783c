"""Whether an edited model is its base with the edit added, and nothing else: what `write_edited` wrote, read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from expunge.engine.files.digests import file_digest, files_by_name
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.files.weight_variants import check_variants
from expunge.engine.models.load import check_format
from expunge.engine.plans.edit_plan import edited


def departures(model: Path, base: Path, deltas: Mapping[str, Tensor]) -> Iterator[str]:
    """How the pipeline folder `model` is other than `base` with `deltas` added, in words; nothing where it is that.

    Weights are compared one by one and to the bit, and all other files by their bytes, so that in what order a file
    holds its weights makes no difference. One weight at a time is in memory. ModelFormatError for a folder that is no
    whole model and for a base with a variant of other weights, EditError where a sum is not finite.
    """
    for folder in (model, base):
        check_format(folder)
    check_variants(base)
    ours, theirs = files_by_name(model), files_by_name(base)
    yield from (f"it has no {name}, which its base has" for name in sorted(theirs.keys() - ours.keys()))
    yield from (f"it has {name}, which its base has not" for name in sorted(ours.keys() - theirs.keys()))
    compared: set[str] = set()
    for name in sorted(ours.keys() & theirs.keys()):
        if name.endswith(".safetensors"):
            for weight, is_right in _weights(ours[name], theirs[name], name.partition("/")[0], deltas):
                compared.add(weight)
                if not is_right:
                    yield f"{weight} in {name} is not the base's{' with the edit added' if weight in deltas else ''}"
        elif file_digest(ours[name]) != file_digest(theirs[name]):
            yield f"{name} is not the base's"
    yield from (f"{weight}, which the edit changes, is not in it" for weight in sorted(deltas.keys() - compared))


def _weights(ours: Path, theirs: Path, component: str, deltas: Mapping[str, Tensor]) -> Iterator[tuple[str, bool]]:
    """Each weight that either file holds, and whether it is the one it has to be."""
    with safe_open(ours, "pt") as found, safe_open(theirs, "pt") as origin:
        ours_hold, theirs_hold = set(found.keys()), set(origin.keys())
        for key in sorted(ours_hold | theirs_hold):
            weight, is_right = f"{component}.{key}", False
            if key in ours_hold & theirs_hold:
                wanted = origin.get_tensor(key)
                if weight in deltas:
                    wanted, _ = edited(weight, wanted, deltas[weight])
                is_right = tensor_digest({key: found.get_tensor(key)}) == tensor_digest({key: wanted})
            yield weight, is_right
