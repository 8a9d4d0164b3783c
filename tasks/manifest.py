"""A bundle folder and its manifest: every file by its sha256, and nothing else in the folder."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.errors import IntegrityError

MANIFEST = "manifest.json"
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Bundle:
    """A bundle folder that holds exactly what its manifest says. `files`: relative path to sha256."""

    folder: Path
    digest: str
    files: dict[str, str]


def check_bundle(folder: Path) -> Bundle:
    """Read the manifest and compare the folder with it: no file more, none less, none changed, no symlink."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise IntegrityError(f"{manifest} is missing: {folder} is no bundle")
    content = manifest.read_bytes()
    listed = parse(content, str(manifest))
    found = _files_in(folder)
    if found != listed.keys():
        missing, extra = sorted(listed.keys() - found), sorted(found - listed.keys())
        raise IntegrityError(f"{folder} differs from its manifest: missing {missing}, extra {extra}")
    for path, sha256 in listed.items():
        if _sha256(folder / path) != sha256:
            raise IntegrityError(f"{folder / path} does not have the sha256 of the manifest: it was changed")
    return Bundle(folder, hashlib.sha256(content).hexdigest(), listed)


def parse(content: bytes, where: str) -> dict[str, str]:
    """The sha256 of each file by its relative path; `where` names the manifest in an IntegrityError."""
    try:
        listed = {path: entry["sha256"] for path, entry in json.loads(content)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        form = '{"files": {path: {"sha256": ..., "bytes": ...}}}'
        raise IntegrityError(f"{where}: not of the form {form}") from error
    if not listed:
        raise IntegrityError(f"{where}: lists no file: an empty bundle is no model")
    for path, sha256 in listed.items():
        if not (_is_plain(path) and isinstance(sha256, str) and DIGEST.fullmatch(sha256)):
            raise IntegrityError(f"{where}: bad entry {path!r}: plain relative paths with a sha256 each")
    return listed


def _is_plain(path: str) -> bool:
    """Names from a manifest become paths, so only those that stay inside the folder."""
    pure = PurePosixPath(path)
    return (
        path.isprintable()
        and "\\" not in path
        and str(pure) == path
        and path not in (".", MANIFEST)
        and not (pure.is_absolute() or ".." in pure.parts)
    )


def _files_in(folder: Path) -> set[str]:
    entries = list(folder.rglob("*"))
    for entry in entries:
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise IntegrityError(f"{entry} is a link or no plain file: a bundle holds files only")
    return {entry.relative_to(folder).as_posix() for entry in entries if entry.is_file()} - {MANIFEST}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
