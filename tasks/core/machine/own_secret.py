"""Secrets that a home makes for itself on first use, in a folder that only its owner can read."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

from expunge.engine.files.atomic import write_once


def own_secret(home: Path, name: str, first: Callable[[], bytes] = lambda: secrets.token_bytes(32)) -> bytes:
    """Return the 32 bytes of the home's secret of this name; `first` gives what it is made from on first use."""
    path = home / "private" / name
    home.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_once(path, first)
    return hashlib.sha256(path.read_bytes()).digest()
