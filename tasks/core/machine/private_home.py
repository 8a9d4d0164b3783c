"""A home is for its owner alone: it names persons, holds their pictures, and has the keys that sign."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge.tasks.core.errors import UsageError

OWN_FOLDER, OTHERS = 0o700, 0o077


@contextmanager
def private(home: Path) -> Iterator[None]:
    """Close a home to everybody but its owner, and make what is written meanwhile readable by its owner alone.

    Raises UsageError where that is not possible: the folder is another user's and open to all, or one that all share.
    """
    _close(home)
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def _close(home: Path) -> None:
    if not home.exists():
        return  # it is made with the rights that are in force by then
    found = home.stat()
    if found.st_mode & stat.S_ISVTX:
        raise UsageError(f"EXPUNGE_HOME is {home}, a folder that users share: name one of your own, new or not")
    if not found.st_mode & OTHERS:
        return
    try:
        home.chmod(OWN_FOLDER)
    except OSError as error:
        if found.st_mode & stat.S_IRWXO:
            raise UsageError(
                f"EXPUNGE_HOME is {home}, which others can read, and its rights cannot be changed ({error.strerror}): "
                "have its owner take them away, or name a home of your own"
            ) from None
