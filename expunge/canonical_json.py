"""Canonical JSON: one value, one spelling, so that a digest means the value and not its layout.

Every digest of this software is taken over these bytes. RFC 8785 spells three things otherwise: floats as ECMAScript
does (`1`, not `1.0`), keys in the order of UTF-16, and whole numbers above 2**53 not at all. Receipts, policies and
plans that exist hold such floats and seeds, so their digests would change; that is why the library `rfc8785` is not
used. A test holds both to the same bytes wherever both apply.
"""

import hashlib
import json
import math
from typing import Any


def canonical_json(obj: Any) -> bytes:
    """Return UTF-8 JSON with sorted keys and no spaces; equal values give equal bytes.

    Floats are written by `repr`: whoever writes a measured number rounds it first. Raises ValueError on NaN,
    infinity, a key that is no string or text that is no UTF-8, TypeError on a type JSON lacks; the message names the
    place.
    """
    _refuse(obj, "$")
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def sha256(data: bytes) -> str:
    """Return the SHA-256 digest, 64 lowercase hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _refuse(obj: Any, place: str) -> None:
    if isinstance(obj, dict):
        for key, value in obj.items():
            if not isinstance(key, str):
                raise ValueError(f"{place}: key {key!r} is not a string; JSON would rename it silently")
            _refuse(key, f"{place}.{key!r}")
            _refuse(value, f"{place}.{key}")
    elif isinstance(obj, list | tuple):
        for index, value in enumerate(obj):
            _refuse(value, f"{place}[{index}]")
    elif isinstance(obj, str):
        _refuse_surrogates(obj, place)
    elif isinstance(obj, float):
        if not math.isfinite(obj):
            raise ValueError(f"{place}: {obj} is not finite; record it as null or as a fault")
    elif obj is not None and not isinstance(obj, int):
        raise TypeError(f"{place}: {type(obj).__name__} has no canonical form; pass text, a number, a list or a dict")


def _refuse_surrogates(text: str, place: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{place}: the text holds half a character at position {error.start}") from error
