"""Files and folders that are there whole or not at all, and outlast a power loss.

A rename alone is not enough. The name may reach the disk before the content, and the file is then there and empty. So
content is on disk before it has its name, and the name is on disk before the caller goes on.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from expunge.engine.errors import SettingError

PART = ".part-"
"""The beginning of the names that a killed `write_new` leaves behind."""
SCRATCH = re.compile(r"(?P<name>.+)\.[0-9a-f]{32}\.part")
"""The names of the files that a killed `write_whole` leaves behind."""


def beside(out: Path) -> Path:
    """Return where a file or folder is written before it takes its place: a hidden name, so that it is nobody's own."""
    return out.with_name(f".{out.name}.part")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield the path of a new folder, to be written, that takes the place of `out` at the end.

    It is for one writer at a time, who removes what an earlier writer left when it was killed.
    """
    scratch = beside(out)
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
        sync_tree(scratch)
        shutil.rmtree(out, ignore_errors=True)
        scratch.rename(out)
        sync_folder(out.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


@contextmanager
def whole_new(out: Path, *read: Path | None) -> Iterator[Path]:
    """Yield the path at which to write the file or folder that becomes `out`.

    Each writer has a path of its own, however many write to the same name.

    Args:
        out: the final path.
        read: folders that are read meanwhile, in which `out` must not lie.
    Raises:
        SettingError: something is at `out` already, before or after the writing; its folder is missing or cannot be
            written to; or it lies in a folder of `read`.
    """
    _check_new(out)
    if inside := [folder for folder in read if folder and out.resolve().is_relative_to(folder.resolve())]:
        raise SettingError(f"{out} lies in {inside[0]}, which is read and would be another then; name one beside it")
    with _scratch(out) as folder:
        scratch = Path(folder) / f"new{out.suffix}"  # short, for beside a long name no longer one can be made
        yield scratch
        _check_new(out)
        sync_tree(scratch)
        scratch.rename(out)
    sync_folder(out.parent)


def _scratch(out: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix=".expunge-", dir=out.parent)
    except OSError as error:
        raise SettingError(f"{out} cannot be written ({error.strerror}); name one in a folder that can be") from error


def write_whole(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file whole or not at all, whoever else writes it meanwhile; on return it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, content, path.with_name(f"{path.name}.{uuid4().hex}.part"), os.replace, mode)


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all, and over no other; on return it is on disk. Its folder must exist.

    Raises:
        FileExistsError: there is a file already.
    """
    _write(path, content, path.with_name(f"{PART}{uuid4().hex}"), os.link, mode)


def write_once(path: Path, make: Callable[[], bytes]) -> None:
    """Write what `make` returns, for its owner alone, unless there is a file.

    Of several writers at once the first one's file stays.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            write_new(path, make())


def _write(
    path: Path, content: bytes, scratch: Path, place: Callable[[Path, Path], object], mode: int | None = None
) -> None:
    """Write `scratch`, a name that nobody else has, and let `place` give it the final name."""
    try:
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        place(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Return once the names in a folder, or the content of one file, are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(place: Path) -> None:
    """Return once a file, or a folder with all that is in it, is on disk."""
    for path in (*(place.rglob("*") if place.is_dir() else ()), place):
        if not path.is_symlink():
            sync_folder(path)


def copy_folder(source: Path, out: Path) -> None:
    """Copy the contents alone, so that the copy of something read-only can be written to."""
    out.mkdir(parents=True)
    for path in sorted(source.rglob("*")):
        target = out / path.relative_to(source)
        if path.is_dir():
            target.mkdir()
        else:
            shutil.copyfile(path, target)


def _check_new(out: Path) -> None:
    if os.path.lexists(out):
        raise SettingError(f"{out} is there already; name one that is not, or remove it")
    if not out.parent.is_dir():
        raise SettingError(f"there is no folder {out.parent}; make it first")
