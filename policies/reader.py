"""A policy file to a Policy: bytes, tree, values, model; each step refuses what the next must never see."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from expunge.policies.errors import PolicyError, PolicyErrors
from expunge.policies.guard import MOST_BYTES, decoded
from expunge.policies.nodes import Branch, tree
from expunge.policies.schema import Policy
from expunge.policies.values import read_values
from expunge.policies.wording import reworded


def read(path: str | Path) -> Policy:
    """The policy in the file at `path`; PolicyErrors if it cannot be read or is not exactly a policy."""
    return parse(_file_bytes(Path(path)), str(path))


def parse(data: bytes, source: str) -> Policy:
    """The policy that `data` states; `source` names it in errors. PolicyErrors holds all that one pass can find."""
    try:
        root = tree(decoded(data, source), source)
        if not (isinstance(root, Branch) and root.mapping):
            raise PolicyError("", "is not a mapping of fields", "write 'field: value' lines", root.line, source)
    except PolicyError as error:
        raise PolicyErrors([error]) from None
    reading = read_values(root, source)
    try:
        policy = Policy.model_validate(reading.value)
    except ValidationError as error:
        raise PolicyErrors([*reading.errors, *reworded(error, reading)]) from None
    if reading.errors:
        raise PolicyErrors(reading.errors)
    return policy


def _file_bytes(path: Path) -> bytes:
    """At most one byte more than a policy may have, so that an endless file costs nothing; no waiting on pipes."""
    if path.exists() and not path.is_file():
        raise PolicyErrors([PolicyError("", "is not a regular file", "name a policy file", None, str(path))])
    try:
        with path.open("rb") as handle:
            return handle.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        problem = PolicyError("", f"cannot be read: {reason}", "check the path", None, str(path))
        raise PolicyErrors([problem]) from None
