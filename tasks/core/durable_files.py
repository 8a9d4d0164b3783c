"""Files that outlast a power loss, and what it means that one cannot be read.

A rename alone is not enough: the name may reach the disk before the content, and the file is then there and empty.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from expunge.tasks.core.errors import IntegrityError

PART = ".part-"
SCRATCH = re.compile(r"(?P<name>.+)\.[0-9a-f]{32}\.part")
"""The names of what a kill leaves of `write_whole`."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it meanwhile; on return it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{uuid4().hex}.part")  # numbers of processes repeat in other containers
    with open(scratch, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    sync_folder(path.parent)


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all, and over no other: FileExistsError then. On return it is on disk.

    The folder must be there; what a kill leaves in it begins with PART.
    """
    handle, part = tempfile.mkstemp(prefix=PART, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        os.link(part, path)
    finally:
        os.unlink(part)
    sync_folder(path.parent)


def write_once(path: Path, make: Callable[[], bytes]) -> None:
    """Write what `make` gives, for its owner alone, unless there is a file; of several at once the first one stays."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            write_new(path, make())


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """IntegrityError where what a verdict rests on is there and cannot be read: it is never taken for absent."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} cannot be read ({type(error).__name__}: {error}): restore it, or remove it and submit again"
        ) from error


def sync_folder(folder: Path) -> None:
    """On return the names in it are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
