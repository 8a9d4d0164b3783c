"""An edited denoiser in its base's pipeline: what an edit is worth once everything around the denoiser is put back.

Text encoders, tokenizers, VAE and scheduler are files that whoever gets a model can exchange for those of its base. A
concept that they hide is not erased. So where they are not the base's own, the denoiser is asked with these as well.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.atomic import whole_folder
from expunge.engine.files.digests import file_digest, files_by_name
from expunge.engine.files.model_layout import INDEX, UNREAD, components, few, read_index

UNASKED = {UNREAD, "feature_extractor"}
"""What drawing does without: the safety checker, and what prepares pictures for it."""
MARGINAL = {"_diffusers_version", "_name_or_path", "requires_safety_checker"}
"""What an index may say otherwise without drawing otherwise."""


def parts_unlike(base: Path, candidate: Path, denoisers: Collection[str]) -> list[str]:
    """Return the parts, other than denoisers, that pictures depend on and that are not the base's, byte by byte.

    The index counts as one where it says something else of the pipeline than which parts it has.
    """
    own, given = components(base), components(candidate)
    names = sorted({*own, *given} - UNASKED - set(denoisers))
    unlike = [name for name in names if _identity(base, name) != _identity(candidate, name)]
    return unlike + ([INDEX] if _options(base) != _options(candidate) else [])


def write_exchanged(base: Path, candidate: Path, denoisers: Collection[str], out: Path) -> None:
    """Write the base's pipeline with the candidate's denoisers to `out`, as links to both folders' files if possible.

    ModelFormatError where a denoiser is configured otherwise than the base's, and so may not work there.
    """
    for name in sorted({*components(base), *components(candidate)} & set(denoisers)):
        _refuse_another(name, base, candidate)
    around = {name: path for name, path in files_by_name(base).items() if name.partition("/")[0] not in denoisers}
    edited = {name: path for name, path in files_by_name(candidate).items() if name.partition("/")[0] in denoisers}
    with whole_folder(out) as scratch:
        for name, path in {**around, **edited}.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            _link(path, scratch / name)


def _identity(folder: Path, name: str) -> Any:
    """Return class and bytes of a part; None if the model has none."""
    part = components(folder).get(name)
    if part is None or not part.folder.is_dir():
        return None
    return part.library, part.kind, {file: file_digest(path) for file, path in files_by_name(part.folder).items()}


def _options(folder: Path) -> dict[str, Any]:
    """Return what the index says of the pipeline itself, its class included."""
    told = {name: value for name, value in read_index(folder).items() if not isinstance(value, list)}
    return {name: value for name, value in told.items() if name not in MARGINAL}


def _refuse_another(name: str, base: Path, candidate: Path) -> None:
    own, given = (_configuration(folder / name / "config.json") for folder in (base, candidate))
    unlike = [key for key in sorted({*own} & {*given}) if not key.startswith("_") and own[key] != given[key]]
    if unlike or not (own and given):
        raise ModelFormatError(
            f"{candidate / name} is not configured as that of the base ({few(unlike) or 'one of them is missing'}), so "
            "it cannot be asked in the base's pipeline; give a model that was edited from this base"
        )


def _configuration(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _link(source: Path, target: Path) -> None:
    """Link to what is never written in place; copy it where that cannot be, as from another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
