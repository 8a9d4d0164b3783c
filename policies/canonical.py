"""One byte string for one value, so that a digest names content and not its spelling."""

from __future__ import annotations

import json
import unicodedata
from typing import Any


def canonical_json(obj: Any) -> bytes:
    """JSON in UTF-8: keys sorted, no spaces, text in NFC, floats in their shortest form that reads back the same.

    Raises ValueError on NaN, infinity, lone surrogates, keys that are not text, and keys that are equal after NFC;
    TypeError on what JSON cannot hold.
    """
    text = json.dumps(_composed(obj), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def _composed(obj: Any) -> Any:
    if isinstance(obj, str):
        return unicodedata.normalize("NFC", obj)
    if isinstance(obj, dict):
        return _composed_keys(obj)
    if isinstance(obj, (list, tuple)):
        return [_composed(item) for item in obj]
    return obj


def _composed_keys(obj: dict[Any, Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in obj):
        raise ValueError("canonical JSON takes only text as keys")
    composed = {unicodedata.normalize("NFC", key): _composed(value) for key, value in obj.items()}
    if len(composed) != len(obj):
        raise ValueError("two keys are equal after NFC")
    return composed
