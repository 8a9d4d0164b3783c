"""The published folder: the edited model in diffusers layout, the edit alone, what proves it, and a manifest of all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from engine.canonical import canonical_json
from engine.deltas import EditPlan, edited
from engine.digests import file_digest, files
from engine.errors import DigestMismatch, EditError, ModelFormatError
from engine.layout import check_complete, check_layout, components
from engine.whole import save_whole, whole_folder

MANIFEST = "manifest.json"
VOUCHER = "published.json"  # who vouches for the manifest, added when it is published
MODEL = "model"


def write_edited(base: Path, plan: EditPlan, out: Path) -> dict[str, float]:
    """Copy the pipeline folder `base` to `out` with the plan's deltas added; all other bytes are the base's own.

    The sum is taken in float64 and written in each weight's own type; returned is the share of each delta that was lost
    in rounding to it, the largest of its variants. EditError names a weight that is not in the base or is not finite
    after the edit, ModelFormatError a file that no edit would reach; then `out` is not there.
    """
    check_layout(base, files(base))
    check_complete(base)
    with whole_folder(out) as scratch:
        shutil.copytree(base, scratch)
        return _edit(scratch, plan.deltas)


def _edit(model: Path, deltas: Mapping[str, Tensor]) -> dict[str, float]:
    """A folder may hold the same weights in several variants, and each must forget."""
    rounding = dict.fromkeys(deltas, 0.0)
    known = components(model)
    for component in sorted({name.split(".", 1)[0] for name in deltas}):
        wanted = {name for name in deltas if name.startswith(f"{component}.")}
        stored = known[component].stored() if component in known else {"": []}
        for variant, paths in stored.items():
            found = {name: error for path in paths for name, error in _add(path, component, deltas).items()}
            if missing := sorted(wanted - found.keys()):
                where = f"the variant {variant} of the base model" if variant else "the base model"
                raise EditError(missing[0], f"is not in {where}; plan the edit on this base")
            rounding |= {name: max(error, rounding[name]) for name, error in found.items()}
    return rounding


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


def assemble(model: Path, extras: Mapping[str, Path | bytes], out: Path) -> str:
    """Put the edited model and `extras` (relative name to file or bytes) into `out`, write the manifest last.

    Returns the bundle's digest, the sha256 of its manifest. The same content gives the same digest.
    """
    with whole_folder(out) as scratch:
        shutil.copytree(model, scratch / MODEL)
        for name, content in extras.items():
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
        entries = {
            path.relative_to(scratch).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
            for path in files(scratch)
        }
        with open(scratch / MANIFEST, "wb") as handle:
            handle.write(canonical_json({"format": "expunge-bundle-1", "files": entries}))
            handle.flush()
            os.fsync(handle.fileno())
    return file_digest(out / MANIFEST)


def verify_bundle(folder: Path, expected: str | None = None) -> str:
    """Check every file against the manifest and return the bundle's digest.

    DigestMismatch names the first file that is missing, changed or extra. ModelFormatError if the folder is no bundle.
    """
    if not (folder / MANIFEST).is_file():
        raise ModelFormatError(f"{folder} has no {MANIFEST}, so it is no bundle; give the folder that was published")
    digest = file_digest(folder / MANIFEST)
    if expected is not None and digest != expected:
        raise DigestMismatch("bundle manifest", expected, digest, "fetch the bundle again")
    wanted = _listed(folder / MANIFEST)
    found = {path.relative_to(folder).as_posix(): path for path in files(folder)}
    for beside in (MANIFEST, VOUCHER):
        found.pop(beside, None)
    for name in sorted(wanted.keys() | found.keys()):
        expected = wanted.get(name, "not in the manifest")
        actual = file_digest(found[name]) if name in found else "missing"
        if expected != actual:
            raise DigestMismatch(f"bundle file {name}", expected, actual, "fetch the bundle again")
    return digest


def _listed(manifest: Path) -> dict[str, str]:
    """The sha256 of each file."""
    try:
        return {name: entry["sha256"] for name, entry in json.loads(manifest.read_bytes())["files"].items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{manifest} is not the manifest of a bundle; fetch the bundle again") from error
