"""JSON files of a model: each says one thing, and none names code, other weights or a file elsewhere.

Every loader reads configuration before it reads weights, and some fields send it somewhere else. These are refused,
whoever supplies them. All other fields are compared with the base's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.strict_json import JsonError, read_json

ELSEWHERE = {
    "auto_map": "code of the folder or of the network",
    "custom_pipeline": "a pipeline of other code",
    "custom_pipelines": "a pipeline of other code",
    "custom_objects": "other code",
    "custom_generate": "other code",
    "trust_remote_code": "other code",
    "base_model_name_or_path": "another model",
    "peft_config": "an adapter",
    "adapter_config": "an adapter",
    "fast_tokenizer_files": "another file for other versions",
}
"""What a field makes a loader read that is not among the files that are judged."""
KERNEL_FIELDS = ("attn_implementation", "experts_implementation")
"""Where a value with a slash is a repository with code of its own."""
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json")
"""Their fields are words, not settings."""
UNREAD_FILE = "special_tokens_map_file"
"""Old tokenizers carry a path under this name that nobody opens."""


def read_config(path: Path) -> Any:
    """Return what a JSON file of a model says.

    Raises:
        ModelFormatError: it is no JSON, too large or too deep, or says a name twice. Readers do not agree on which of
            two they take.
    """
    try:
        return read_json(path)
    except JsonError as error:
        raise ModelFormatError(f"{path} cannot be read as JSON ({error}); download it again") from None


def check_config(path: Path) -> None:
    """Refuse a JSON file that makes a loader run code, or read what is not among the files that are judged."""
    said = read_config(path)
    if path.name in VOCABULARIES:
        return
    for name, value in _fields(said):
        if value and (what := _elsewhere(name, value)):
            raise ModelFormatError(
                f"{path} names {what} in its field {name!r}, which nobody judges; take the field out of the file"
            )


def _elsewhere(name: str, value: Any) -> str:
    if what := ELSEWHERE.get(name, ""):
        return what
    if name.endswith(KERNEL_FIELDS) and "/" in str(value):
        return "code of a repository"
    is_file = name.endswith("_file") and name != UNREAD_FILE and isinstance(value, str)
    return "a file" if is_file else ""


def _fields(said: Any) -> Iterator[tuple[str, Any]]:
    """Every field of the JSON, however deep."""
    if isinstance(said, dict):
        yield from said.items()
    for value in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        yield from _fields(value)
