"""Digests of content: values, files and folders each have one sha256, wherever and whenever they are read."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

from expunge.canonical_json import canonical_json, sha256
from expunge.engine.errors import ModelFormatError
from expunge.engine.files.model_layout import INDEX, check_layout

MOST_FILES = 10_000


def json_digest(value: Any) -> str:
    return sha256(canonical_json(value))


def file_digest(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def files(folder: Path) -> list[Path]:
    """Return every file below `folder`, sorted.

    Raises:
        ModelFormatError: there is a symlink, which could lead anywhere; or something that is no file and could block
            its reader; or more than `MOST_FILES` entries.
    """
    found, waiting, seen = list[Path](), [folder], 0
    _refuse_link(folder)
    while waiting:
        for path in waiting.pop().iterdir():
            if (seen := seen + 1) > MOST_FILES:
                raise ModelFormatError(f"{folder} holds more than {MOST_FILES} files; give a folder with a model alone")
            _refuse_link(path)
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif stat.S_ISREG(mode):
                found.append(path)
            else:
                raise ModelFormatError(f"{path} is a pipe, a socket or a device and no file; remove it")
    return sorted(found)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise ModelFormatError(f"{path} is a symbolic link; copy the file itself into the folder")


def files_by_name(folder: Path) -> dict[str, Path]:
    """Return every file below `folder` by its relative posix path.

    Raises:
        ModelFormatError: as for `files`.
    """
    return {path.relative_to(folder).as_posix(): path for path in files(folder)}


def folder_digest(folder: str | Path) -> str:
    """Return the sha256 of the canonical JSON of {relative posix path: sha256} of every file in the folder.

    Raises:
        ModelFormatError: it is no folder; or it is a model's and holds more than the model, such as the cache of a
            download, which differs with each.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelFormatError(f"{folder} is not a folder; give the folder that holds model_index.json")
    found = files_by_name(folder)
    if (folder / INDEX).is_file():
        check_layout(folder, list(found.values()))
    return json_digest({name: file_digest(path) for name, path in found.items()})
