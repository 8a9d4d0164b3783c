"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from expunge.engine.errors import SettingError


def beside(out: Path) -> Path:
    """Where a file or folder is written before it takes its place: hidden, so that it is nobody's own."""
    return out.with_name(f".{out.name}.part")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Where to write a folder, not there yet, that takes the place of `out` at the end.

    For one writer at a time, which writes over what was left when the last was killed.
    """
    scratch = beside(out)
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        yield scratch
        shutil.rmtree(out, ignore_errors=True)
        scratch.rename(out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


@contextmanager
def whole_new(out: Path, *read: Path | None) -> Iterator[Path]:
    """Where to write the file or folder that is to be `out`: a place of its own, however many write to that name.

    SettingError if something is there already, now or in the end, if no folder is there to write in, and if it lies in
    one that is `read` meanwhile.
    """
    _check_new(out)
    if inside := [folder for folder in read if folder and out.resolve().is_relative_to(folder.resolve())]:
        raise SettingError(f"{out} lies in {inside[0]}, which is read and would be another then; name one beside it")
    with _scratch(out) as folder:
        scratch = Path(folder) / f"new{out.suffix}"  # beside a long name no longer one can be made
        yield scratch
        _check_new(out)
        scratch.rename(out)


def _scratch(out: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix=".expunge-", dir=out.parent)
    except OSError as error:
        raise SettingError(f"{out} cannot be written ({error.strerror}); name one in a folder that can be") from error


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{uuid4().hex}.part")  # a process number is another's too, in another container
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def copy_folder(source: Path, out: Path) -> None:
    """The contents alone: of what is read-only the copy can be written to."""
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
