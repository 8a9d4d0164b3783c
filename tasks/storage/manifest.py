"""A bundle folder and its manifest: every file by its sha256, and nothing else in the folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expunge.engine.errors import EngineError
from expunge.engine.files.bundle import MANIFEST, MODEL, parse_manifest, verify_bundle
from expunge.engine.files.digests import json_digest
from expunge.tasks.core.errors import IntegrityError


@dataclass(frozen=True)
class Bundle:
    """A bundle folder that holds exactly what its manifest says. `files`: relative path to sha256."""

    folder: Path
    digest: str
    files: dict[str, str]

    @property
    def model(self) -> Path:
        return self.folder / MODEL


def check_bundle(folder: Path) -> Bundle:
    """Read the manifest and compare the folder with it: no file more, none less, none changed, no symlink."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise IntegrityError(f"{manifest} is missing: {folder} is no bundle")
    files = listed(folder)
    try:
        return Bundle(folder, verify_bundle(folder), files)
    except EngineError as error:
        raise IntegrityError(f"{folder} differs from its manifest: {error}") from error


def listed(folder: Path) -> dict[str, str]:
    """Return what a bundle folder's manifest lists, unchecked; IntegrityError as `parse`."""
    manifest = folder / MANIFEST
    return parse(manifest.read_bytes(), str(manifest))


def parse(content: bytes, where: str) -> dict[str, str]:
    """Return the sha256 of each file by its relative path; `where` names the manifest in an IntegrityError."""
    try:
        return parse_manifest(content, where)
    except EngineError as error:
        raise IntegrityError(str(error)) from error


def prefix(digest: str) -> str:
    """Return where in a bucket a bundle lies."""
    return f"bundles/{digest}"


def model_digest(files: Mapping[str, str]) -> str:
    """Return the folder digest of a bundle's model, from the sha256 of each of the bundle's files."""
    folder = f"{MODEL}/"
    return json_digest({path.removeprefix(folder): files[path] for path in files if path.startswith(folder)})
