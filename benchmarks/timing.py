"""One plan, and how long its parts take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.fullsize import spec
from engine import planning
from engine.editors import editor_named, settings_for
from engine.families import projections


def settle(device: str) -> None:
    """Wait for an accelerator, which works while the program goes on."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device.startswith("mps"):
        torch.mps.synchronize()


@dataclass(frozen=True)
class Timed:
    """Seconds of one plan: the encoder and tokenizer, tokens into moments, and the editor."""

    encoding: float
    moments: float
    editor: float

    @property
    def closed_form(self) -> float:
        return self.moments + self.editor


def settings(editor: str) -> dict[str, Any]:
    """Bare names, all tokens that the editor takes, no general words; else its defaults."""
    return {"bare": True, "general_words": 0} if editor != "scapre-released" else {}


@contextmanager
def clock(owner: Any, name: str, spent: list[float]) -> Iterator[None]:
    """Adds the seconds of every call of `owner.name` to `spent`."""
    original: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            spent.append(time.perf_counter() - start)

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, original)


def timed(model: Any, editor: str, count: int, device: str) -> Timed:
    """One plan in its parts."""
    chosen = editor_named(editor)
    given = settings_for(chosen, settings(editor))
    spent: list[float] = []
    settle(device)
    start = time.perf_counter()
    with clock(planning, "encode", spent), torch.no_grad():
        concepts = planning.gather(model, spec(count, editor, settings(editor)), given)
    settle(device)
    gathered = time.perf_counter()
    found = projections(model)
    weights = {p.name: p.weight.detach().to(concepts.targets.gram) for p in found}
    chosen.plan(weights, {p.name: p.kind for p in found}, concepts, given)
    settle(device)
    return Timed(sum(spent), gathered - start - sum(spent), time.perf_counter() - gathered)
