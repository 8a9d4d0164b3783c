"""One byte string for one policy, however its text is composed."""

from __future__ import annotations

import unicodedata
from typing import Any

from expunge.canonical_json import canonical_json


def composed_json(obj: Any) -> bytes:
    """Return canonical JSON with all text in NFC, so that a digest names content and not its spelling.

    Raises ValueError as `canonical_json` does, and on keys that are equal after NFC.
    """
    return canonical_json(_composed(obj))


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
