"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def beside(out: Path) -> Path:
    """Where a file or folder is written before it takes its place: hidden, so that it is nobody's own."""
    return out.with_name(f".{out.name}.part")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Where to write a folder, not there yet, that takes the place of `out` at the end."""
    scratch = beside(out)
    shutil.rmtree(scratch, ignore_errors=True)
    yield scratch
    shutil.rmtree(out, ignore_errors=True)
    scratch.rename(out)
