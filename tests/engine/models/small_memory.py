"""A pipeline class that runs out of memory where it is asked for too many pictures at once."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch


@dataclass
class Memory:
    """How many pictures fit in at once, and how many were asked for each time."""

    most: int
    sizes: list[int] = field(default_factory=list)


def small_memory(
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    most: int,
    error: RuntimeError = torch.OutOfMemoryError("no memory"),  # noqa: B008 - it is raised, not changed
) -> Memory:
    memory, drawn = Memory(most), kind.__call__

    @functools.wraps(drawn)
    def small(self: Any, **arguments: Any) -> Any:
        memory.sizes.append(len(arguments["generator"]))
        if memory.sizes[-1] > memory.most:
            raise error
        return drawn(self, **arguments)

    monkeypatch.setattr(kind, "__call__", small)
    return memory
