"""The published folder: the edited model in diffusers layout, the edit alone, its evidence, and a manifest of all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from expunge.canonical_json import canonical_json
from expunge.engine.errors import DigestMismatch, ModelFormatError
from expunge.engine.files.atomic import copy_folder, whole_folder
from expunge.engine.files.digests import file_digest, files_by_name
from expunge.engine.files.model_layout import is_listable
from expunge.engine.files.reading.strict_json import SMALL, parse_json

MANIFEST = "manifest.json"
VOUCHER = "published.json"  # who vouches for the manifest, added when it is published
MODEL = "model"
DIGEST = re.compile(r"[0-9a-f]{64}")


def assemble(model: Path, extras: Mapping[str, Path | bytes], out: Path) -> str:
    """Write the edited model and `extras` into `out`, the manifest last, and return the bundle's digest.

    `extras` gives a file or bytes by relative name. The digest is the sha256 of the manifest. The same content gives
    the same digest.
    """
    with whole_folder(out) as scratch:
        copy_folder(model, scratch / MODEL)
        for name, content in extras.items():
            target = scratch / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
        entries = {
            name: {"sha256": file_digest(path), "bytes": path.stat().st_size}
            for name, path in files_by_name(scratch).items()
        }
        (scratch / MANIFEST).write_bytes(canonical_json({"format": "expunge-bundle-1", "files": entries}))
    return file_digest(out / MANIFEST)


def verify_bundle(folder: Path) -> str:
    """Check every file against the manifest and return the bundle's digest.

    Raises:
        DigestMismatch: names the first file that is missing, changed or extra.
        ModelFormatError: the folder is no bundle.
    """
    if not (folder / MANIFEST).is_file():
        raise ModelFormatError(f"{folder} has no {MANIFEST}, so it is no bundle; give the folder that was published")
    wanted = parse_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    found = files_by_name(folder)
    for beside in (MANIFEST, VOUCHER):
        found.pop(beside, None)
    for name in sorted(wanted.keys() | found.keys()):
        expected = wanted.get(name, "not in the manifest")
        actual = file_digest(found[name]) if name in found else "missing"
        if expected != actual:
            raise DigestMismatch(f"bundle file {name}", expected, actual, "fetch the bundle again")
    return file_digest(folder / MANIFEST)


def parse_manifest(content: bytes, where: str) -> dict[str, str]:
    """Return the sha256 of each file by its relative path; `where` names the manifest in a ModelFormatError.

    Names from a manifest become paths, so only plain ones that stay inside the folder are taken.
    """
    try:
        listed = {path: entry["sha256"] for path, entry in parse_json(content, SMALL)["files"].items()}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        form = '{"files": {path: {"sha256": ..., "bytes": ...}}}'
        raise ModelFormatError(f"{where}: is not the manifest of a bundle, for it is not of the form {form}") from error
    if not listed:
        raise ModelFormatError(f"{where}: lists no file: an empty bundle is no model")
    for path, sha256 in listed.items():
        if not (_is_plain(path) and isinstance(sha256, str) and DIGEST.fullmatch(sha256)):
            raise ModelFormatError(f"{where}: bad entry {path!r}: plain relative paths with a sha256 each")
    return listed


def _is_plain(path: str) -> bool:
    pure = PurePosixPath(path)
    return (
        is_listable(path)
        and str(pure) == path
        and path not in (".", MANIFEST, VOUCHER)
        and not (pure.is_absolute() or ".." in pure.parts)
    )
