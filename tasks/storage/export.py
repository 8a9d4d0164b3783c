"""Hand an edit to other programs, or put it on its base: what `expunge export` and `expunge apply` do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expunge.engine.errors import SettingError
from expunge.engine.files.bundle import MANIFEST, MODEL
from expunge.engine.files.digests import file_digest, folder_digest
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.plans.export import apply_to_folder, export
from expunge.tasks.core.base_model import BUILT_IN
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.paths import DELTAS
from expunge.tasks.storage.manifest import listed


def export_edit(source: Path, to: str, out: Path, base: str | None, rank: int | None) -> dict[str, Any]:
    """Write the edit in `source`, a plan or a bundle, to `out`.

    What was written, how near it is and what to know when opening it, as data.
    """
    if (source / MANIFEST).is_file() and DELTAS not in listed(source):
        raise UsageError(f"{source} holds a base as it was, and no edit: take its folder {MODEL}/")
    with meant_as_options():
        made = export(source, to, out, model_folder(base) if base else None, rank)
    result = {"out": str(out), "format": to, "plan": made.plan, "sha256": _digest(out)}
    if made.ranks:
        result |= {"rank": max(made.ranks.values()), "error": made.error}
    if made.rounding:
        result |= {"rounding": max(made.rounding.values())}
    if made.note:
        result |= {"note": made.note}
    return result


def apply_edit(delta: Path, to: str, out: Path) -> dict[str, Any]:
    """Write the model `to`, edited by the plan in `delta`, to the new folder `out`."""
    plan = EditPlan.load(delta)
    with meant_as_options():
        rounding = apply_to_folder(plan, model_folder(to), out, delta)
    largest = max(rounding.values(), default=0.0)
    return {
        "out": str(out),
        "plan": plan.digest,
        "sha256": folder_digest(out),
        "changed": len(rounding),
        "rounding": largest,
    }


def model_folder(uri: str) -> Path:
    """Return the folder that a model is in; `uri` is a path or the name of a built-in model."""
    if uri in BUILT_IN:
        return BUILT_IN[uri][0]
    folder = Path(uri.removeprefix("file:"))
    if not folder.is_dir():
        raise UsageError(f"there is no model {uri}: give a folder in diffusers layout or {' or '.join(BUILT_IN)}")
    return folder


@contextmanager
def meant_as_options() -> Iterator[None]:
    """Raise UsageError on settings that were given on the command line, and in no policy."""
    try:
        yield
    except SettingError as error:
        raise UsageError(str(error)) from None


def _digest(path: Path) -> str:
    return folder_digest(path) if path.is_dir() else file_digest(path)
