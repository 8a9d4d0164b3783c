"""What an editor that trains is given: a copy of the denoiser to change, and somebody to tell how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.spec import EditSpec

Report = Callable[[int, float], object]
"""Called after each step with its number and loss."""


@dataclass(frozen=True)
class Trainer:
    """`train(pipeline, student, spec, settings, report)` changes `student`, a float32 copy of the UNet, in place.

    The copy comes without gradients and in evaluation mode; the pipeline itself must be left as it was.
    """

    name: str
    settings: type[Any]
    train: Callable[[Any, Any, EditSpec, Any, Report], None]
