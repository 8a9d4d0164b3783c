"""A model that somebody hands over for examination: a published bundle, or any folder in diffusers layout."""

from __future__ import annotations

import shutil
from pathlib import Path

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.bundle import MANIFEST
from expunge.engine.files.digests import folder_digest
from expunge.engine.files.sound_folder import check_sound
from expunge.tasks.core.errors import IntegrityError, UsageError
from expunge.tasks.core.paths import DELTAS, EVIDENCE, QUALITY, REPORT, VERDICT
from expunge.tasks.core.work_order import Order, Weights
from expunge.tasks.storage.manifest import Bundle, check_bundle, model_digest

RESULTS = (VERDICT, EVIDENCE, QUALITY, REPORT)


def given_model(folder: Path, published: str = "") -> tuple[Weights, str]:
    """Return the model to question, and the bundle's digest, "" if it is no bundle.

    A bundle is checked file by file first: IntegrityError names what is missing, changed or extra, and a bundle that is
    another than `published`, the digest that a receipt names: a manifest alone vouches for itself. ModelFormatError if
    the folder is neither.
    """
    if (folder / MANIFEST).is_file():
        bundle = check_bundle(folder)
        if published not in ("", bundle.digest):
            raise IntegrityError(f"{folder} is bundle {bundle.digest}, not {published}: fetch that one again")
        return weights_of(bundle), bundle.digest
    if published:
        raise UsageError(f"--digest is that of a bundle, and {folder} has no {MANIFEST}: name the bundle's folder")
    if (folder / "model_index.json").is_file():
        check_sound(folder)
        return Weights(folder, folder_digest(folder)), ""
    raise ModelFormatError(
        f"{folder} is neither a bundle ({MANIFEST}) nor a model in diffusers layout (model_index.json); give the "
        "folder that was published, whole"
    )


def declared_edit(folder: Path) -> Path | None:
    """Return the file of the edit that a bundle says it holds; None for a folder that declares no edit."""
    plan = folder / DELTAS
    return plan if (folder / MANIFEST).is_file() and plan.is_file() else None


def weights_of(bundle: Bundle) -> Weights:
    """Return the model in a bundle, which was checked file by file: its digest is that of what the manifest says."""
    return Weights(bundle.model, model_digest(bundle.files))


def folder_for(out: Path | None, model: Path) -> None:
    """Make the folder for results, if one is named, before hours are spent on them.

    Raises UsageError if it cannot be made, or lies in the model under examination, which would then be another.
    """
    if out is None:
        return
    if out.resolve().is_relative_to(model.resolve()):
        raise UsageError(f"--out {out} lies inside the model under examination; name a folder elsewhere")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be made a folder ({error.strerror}); name another") from None


def hand_out(order: Order, out: Path | None) -> Path:
    """Copy verdict, evidence, quality and report into `out`, if one is named, and return the folder where they lie."""
    if out is None:
        return order.folder
    for name in RESULTS:
        shutil.copyfile(order.folder / name, out / name)
    return out
