"""Values that decide cannot be changed once they are made. Without this a mistake in `frozen=True` is never noticed."""

from __future__ import annotations

from dataclasses import is_dataclass
from types import ModuleType
from typing import Any


def changeable(module: ModuleType) -> list[str]:
    """Return the names of the module's own data classes whose fields can be set again."""
    own: list[Any] = [one for one in vars(module).values() if is_dataclass(one) and isinstance(one, type)]
    return [one.__name__ for one in own if one.__module__ == module.__name__ and not one.__dataclass_params__.frozen]
