"""An edited denoiser in its base's pipeline: the worth of an edit once everything around the denoiser is put back.

Whoever gets a model can exchange its text encoders, tokenizers, VAE and scheduler for those of its base. A concept that
only these files hide is not erased. So where they are not the base's own, the denoiser is questioned with the base's as
well.
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
"""Parts that drawing does without: the safety checker, and the one that prepares pictures for it."""
MARGINAL = {"_diffusers_version", "_name_or_path", "requires_safety_checker"}
"""Fields of an index that may differ while the pictures stay the same."""


def parts_unlike(base: Path, candidate: Path, denoisers: Collection[str]) -> list[str]:
    """Return the parts, other than denoisers, that pictures depend on and that differ from the base's in any byte.

    The index counts as one where it differs in anything but the list of parts.
    """
    own, other = components(base), components(candidate)
    names = sorted({*own, *other} - UNASKED - set(denoisers))
    unlike = [name for name in names if _identity(base, name) != _identity(candidate, name)]
    return unlike + ([INDEX] if _options(base) != _options(candidate) else [])


def write_exchanged(base: Path, candidate: Path, denoisers: Collection[str], out: Path) -> None:
    """Write the base's pipeline with the candidate's denoisers to `out`, as links to both folders' files if possible.

    Raises:
        ModelFormatError: a denoiser is configured otherwise than the base's, and so may not work there.
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
    """Return the class and the bytes of a part; None if the model has none."""
    part = components(folder).get(name)
    if part is None or not part.folder.is_dir():
        return None
    return part.library, part.kind, {file: file_digest(path) for file, path in files_by_name(part.folder).items()}


def _options(folder: Path) -> dict[str, Any]:
    """Return the fields of the index that concern the pipeline itself, its class included."""
    entries = {name: value for name, value in read_index(folder).items() if not isinstance(value, list)}
    return {name: value for name, value in entries.items() if name not in MARGINAL}


def _refuse_another(name: str, base: Path, candidate: Path) -> None:
    own, other = (_configuration(folder / name / "config.json") for folder in (base, candidate))
    unlike = [key for key in sorted({*own} & {*other}) if not key.startswith("_") and own[key] != other[key]]
    if unlike or not (own and other):
        raise ModelFormatError(
            f"{candidate / name} is not configured as that of the base ({few(unlike) or 'one of them is missing'}), so "
            "it cannot be asked in the base's pipeline; give a model that was edited from this base"
        )


def _configuration(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _link(source: Path, target: Path) -> None:
    """Link to a file that is never written in place, or copy it where no link is possible, as from another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
