"""An edit in the form that another program reads: a model folder, the deltas, a LoRA or one file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from expunge.engine.errors import DigestMismatch, SettingError
from expunge.engine.files.atomic import copy_folder, whole_new
from expunge.engine.files.bundle import MANIFEST, MODEL, verify_bundle
from expunge.engine.files.digests import files
from expunge.engine.files.model_layout import check_layout, components
from expunge.engine.models.format import check_format
from expunge.engine.models.load import open_model
from expunge.engine.plans.apply import write_edited
from expunge.engine.plans.edit_plan import EditPlan, base_digest
from expunge.engine.plans.lora import lora_of
from expunge.engine.plans.single_file import write_single_file
from expunge.engine.text.encoder_digest import encoder_digests

FORMATS = ("diffusers", "delta", "lora", "lora-webui", "single-file")
WHOLE = ("diffusers", "single-file")
DELTAS = "deltas.safetensors"
HALF = {"F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    `rounding` is the share of each change lost in writing the weight in the model's own type. `error` and `ranks` are
    those of a LoRA. `note` is what to know when opening the file. Each is empty or 0 where it does not apply.
    """

    out: Path
    format: str
    plan: str
    error: float = 0.0
    ranks: Mapping[str, int] = field(default_factory=dict)
    rounding: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def export(
    source: str | Path,
    to: str,
    out: str | Path,
    base: str | Path | None = None,
    rank: int | None = None,
) -> Exported:
    """Write the edit in `source`, a saved plan or a published bundle, to `out` in the format `to`.

    A bundle is checked against its manifest, and holds the edited model. After an error `out` is not there.

    Args:
        source: the plan's file or the bundle's folder.
        to: one of `FORMATS`.
        out: a path at which there is nothing yet.
        base: the base model; needed for a whole model that is made of a plan, and for nothing else.
        rank: the largest rank of a LoRA.
    Raises:
        SettingError, DigestMismatch, UnknownArchitecture, EditError: the edit cannot be exported like that.
    """
    source, out, base = Path(source), Path(out), Path(base) if base else None
    if to not in FORMATS:
        raise SettingError(f"format {to!r} does not exist; use one of {', '.join(FORMATS)}")
    if rank is not None and not to.startswith("lora"):
        raise SettingError(f"a rank is for a LoRA, the format is {to}; leave it out")
    if base is not None and ((source / MANIFEST).is_file() or to not in WHOLE):
        wanted = f"the format is {to}" if to not in WHOLE else f"{source} is a bundle, which holds the model"
        raise SettingError(f"a base is for a whole model that is made of a plan, and {wanted}; leave it out")
    with whole_new(out, _read_with(source), base) as scratch:
        return replace(_exported(source, to, scratch, base, rank), out=out)


def _exported(source: Path, to: str, out: Path, base: Path | None, rank: int | None) -> Exported:
    bundled = source.is_dir()
    if bundled:
        verify_bundle(source)
    plan = EditPlan.load(source / DELTAS if bundled else source)
    if to == "delta":
        plan.save(out)
    elif to.startswith("lora"):
        lora = lora_of(plan, rank)
        lora.save(out, "webui" if to == "lora-webui" else "diffusers")
        return Exported(out, to, plan.digest, lora.error, lora.ranks)
    elif bundled:
        return Exported(out, to, plan.digest, note=_whole(source / MODEL, to, out))
    elif base is None:
        raise SettingError(f"the format {to} holds a whole model: name the base that the edit was planned on")
    else:
        rounding, note = _edited(plan, base, to, out)
        return Exported(out, to, plan.digest, rounding=rounding, note=note)
    return Exported(out, to, plan.digest)


def apply_to_folder(
    plan: EditPlan, model: str | Path, out: str | Path, source: str | Path | None = None
) -> dict[str, float]:
    """Write the pipeline folder `model`, edited, to `out`, whole or not at all, and return the rounding errors.

    `source` is the file that the plan was read from.

    Raises:
        DigestMismatch: the plan was not made on this model.
        UnknownArchitecture: no family covers the model.
        SettingError: something is at `out` already, or there is no folder to write in.
    """
    model, out = Path(model), Path(out)
    with whole_new(out, model, _read_with(Path(source)) if source else None) as scratch:
        return _applied(plan, model, scratch)


def _read_with(source: Path) -> Path:
    """Return what one more file would change: the bundle in which a plan lies, or the source itself."""
    return source.parent if (source.parent / MANIFEST).is_file() else source


def _applied(plan: EditPlan, model: Path, out: Path) -> dict[str, float]:
    check_base(plan, model)
    return write_edited(model, plan, out)


def check_base(plan: EditPlan, model: Path) -> None:
    """Check that the plan was made on this model, its text encoders included.

    The model is opened in its own type, in float32, which takes more memory, and in the types of half that size, until
    every digest was met.

    Raises:
        DigestMismatch: a digest was met in no type.
    """
    check_format(model)
    weights = f"weights of {model.name}"
    wanted, seen = {weights: plan.base, **plan.encoders}, dict[str, list[str]]()
    for dtype in dict.fromkeys([_own_type(model, plan), torch.float32, *HALF.values()]):
        for name, found in _digests(open_model(model, dtype=dtype), plan, weights).items():
            seen.setdefault(name, []).append(found)
        if not (others := [name for name in wanted if name in seen and wanted[name] not in seen[name]]):
            return
    name = others[0]
    raise DigestMismatch(name, wanted[name], seen[name][0], "apply the edit to the base it was planned on")


def _digests(pipeline: Any, plan: EditPlan, weights: str) -> dict[str, str]:
    """Return the digests that a plan records of its base.

    It is a function so that one pipeline is closed before the next is opened.
    """
    return {weights: base_digest(pipeline, plan.deltas), **(encoder_digests(pipeline) if plan.encoders else {})}


def _own_type(model: Path, plan: EditPlan) -> torch.dtype:
    """Return the type of the first weight that the plan changes, in the file that is opened."""
    name, _, key = min(plan.deltas, default=".").partition(".")
    component = components(model).get(name)
    for path in component.weights() if component else []:
        with safe_open(path, "pt") as handle:
            if key in handle.keys():  # noqa: SIM118 - it is no dict
                return HALF.get(handle.get_slice(key).get_dtype(), torch.float32)
    return torch.float32


def _edited(plan: EditPlan, base: Path, to: str, out: Path) -> tuple[dict[str, float], str]:
    if to == "diffusers":
        return _applied(plan, base, out), ""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        rounding = _applied(plan, base, Path(scratch) / MODEL)
        return rounding, write_single_file(Path(scratch) / MODEL, out)


def _whole(model: Path, to: str, out: Path) -> str:
    check_layout(model, files(model))
    if to == "single-file":
        return write_single_file(model, out)
    copy_folder(model, out)
    return ""
