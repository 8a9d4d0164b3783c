"""Turn a policy file into a Policy: bytes, tree, values, model. Each step refuses what the next must never see.

A floor's file goes the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from expunge.policies.errors import PolicyError, PolicyErrors
from expunge.policies.floor import Floor, below
from expunge.policies.model.policy import Policy
from expunge.policies.model.schema import Strict
from expunge.policies.reading.guard import MOST_BYTES, decoded
from expunge.policies.reading.nodes import Branch, tree
from expunge.policies.reading.values import Reading, read_values
from expunge.policies.reading.wording import placed, reworded

Shape = TypeVar("Shape", bound=Strict)


def read(path: str | Path, floor: Floor | None = None) -> Policy:
    """Return the policy in the file at `path`.

    Raises:
        PolicyErrors: it cannot be read, is not exactly a policy, or is looser than the floor.
    """
    return parse(_file_bytes(Path(path)), str(path), floor)


def parse(data: bytes, source: str, floor: Floor | None = None) -> Policy:
    """Return the policy that `data` states; `source` names it in errors.

    Raises:
        PolicyErrors: all errors that one pass can find.
    """
    policy, reading = _shaped(Policy, data, source)
    if floor and (loose := list(below(policy, floor))):
        raise PolicyErrors(placed(loose, reading))
    return policy


def read_floor(path: Path) -> Floor:
    """Return the floor in the file at `path`; PolicyErrors if it cannot be read or is not exactly a floor."""
    return parse_floor(_file_bytes(path), str(path))


def parse_floor(data: bytes, source: str) -> Floor:
    return _shaped(Floor, data, source)[0]


def _shaped(shape: type[Shape], data: bytes, source: str) -> tuple[Shape, Reading]:
    try:
        root = tree(decoded(data, source), source)
        if not (isinstance(root, Branch) and root.mapping):
            raise PolicyError("", "is not a mapping of fields", "write 'field: value' lines", root.line, source)
    except PolicyError as error:
        raise PolicyErrors([error]) from None
    reading = read_values(root, source)
    try:
        shaped = shape.model_validate(reading.value)
    except ValidationError as error:
        raise PolicyErrors([*reading.errors, *reworded(error, reading, shape)]) from None
    if reading.errors:
        raise PolicyErrors(reading.errors)
    return shaped, reading


def _file_bytes(path: Path) -> bytes:
    """At most one byte more than a policy may have, so that an endless file costs nothing; no waiting on pipes."""
    if path.exists() and not path.is_file():
        raise PolicyErrors([PolicyError("", "is not a regular file", "name a file", None, str(path))])
    try:
        with path.open("rb") as handle:
            return handle.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        problem = PolicyError("", f"cannot be read: {reason}", "check the path", None, str(path))
        raise PolicyErrors([problem]) from None
