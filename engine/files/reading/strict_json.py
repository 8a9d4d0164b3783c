"""The one reader of JSON from outside: bounded in bytes, depth and values, each name once, UTF-8 and nothing else.

It refuses in seconds and with little memory, before anything is made of the content.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 2**20  # the largest file of words, of 256,000 pieces, has 33 MB
MOST_DEPTH = 64
MOST_VALUES = 4_000_000
SMALL = 4 * 2**20
"""The largest size of a setting, a manifest, a pointer or a receipt, in bytes."""


class JsonError(ValueError):
    """The content is no JSON that is accepted here; the message says why."""


def read_json(path: Path, most: int = MOST_BYTES) -> Any:
    """Return the content of a JSON file.

    Raises:
        JsonError: the content is refused, or it is no plain file, which could block.
        OSError: as for any file.
    """
    with open(path, "rb", opener=_unblocked) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise JsonError("it is no plain file")
        return parse_json(file.read(most + 1), most)


def _unblocked(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def parse_json(content: bytes, most: int = MOST_BYTES) -> Any:
    """Return the content of the bytes.

    Args:
        content: JSON in UTF-8.
        most: the largest number of bytes allowed.
    Raises:
        JsonError: it has more bytes, depth or values than allowed, says a name twice or NaN, or is no JSON in UTF-8.
    """
    if len(content) > most:
        raise JsonError(f"it has more than {most} bytes")
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MOST_VALUES:
        raise JsonError(f"it has more than {MOST_VALUES} values")
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_number)
    except RecursionError:
        raise JsonError(f"it is nested more than {MOST_DEPTH} deep") from None
    except JsonError:
        raise
    except ValueError as error:  # a number of more than 4,300 digits, too
        raise JsonError(f"it is no JSON: {error}") from None
    if content.count(b"[") + content.count(b"{") > MOST_DEPTH:
        _check_depth(value)
    return value


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonError(f"it says {twice[:40]!r} twice")
    return found


def _number(name: str) -> float:
    """Return infinity, which schedulers are saved with, and refuse NaN."""
    if name == "NaN":
        raise JsonError("it says NaN, which is no number")
    return float(name)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [part for whole in level for part in _parts(whole) if isinstance(part, dict | list)]
        if not level:
            return
    raise JsonError(f"it is nested more than {MOST_DEPTH} deep")


def _parts(whole: dict[str, Any] | list[Any]) -> Sequence[Any]:
    return list(whole.values()) if isinstance(whole, dict) else whole
