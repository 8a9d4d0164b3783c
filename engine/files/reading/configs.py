"""JSON files of a model: each says every name once, and none names code, other weights or a file elsewhere.

Every loader reads configuration before it reads weights, and some fields send it somewhere else. These fields are
refused, whoever supplies them. All other fields are compared with the base's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expunge.engine.errors import ModelFormatError
from expunge.engine.files.reading.strict_json import JsonError, read_json

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
"""What each of these fields makes a loader read beyond the files that are judged."""
KERNEL_FIELDS = ("attn_implementation", "experts_implementation")
"""Fields in which a value with a slash names a repository with code of its own."""
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json")
"""Files whose fields are words and not settings."""
UNREAD_FILE = "special_tokens_map_file"
"""The field of old tokenizers that holds a path which nobody opens."""


def read_config(path: Path) -> Any:
    """Return the content of a JSON file of a model.

    Raises:
        ModelFormatError: it is no JSON, too large or too deep, or says a name twice. Readers do not agree on which of
            two they take.
    """
    try:
        return read_json(path)
    except JsonError as error:
        raise ModelFormatError(f"{path} cannot be read as JSON ({error}); download it again") from None


def check_config(path: Path) -> None:
    """Refuse a JSON file that makes a loader run code, or read anything beyond the files that are judged."""
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
    """Yield every field of the JSON, however deep."""
    if isinstance(said, dict):
        yield from said.items()
    for value in said.values() if isinstance(said, dict) else said if isinstance(said, list) else ():
        yield from _fields(value)
