"""One plan, and how long its parts take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.timing.fullsize import spec
from expunge.engine.editors import editor_named, settings_for
from expunge.engine.families import projections
from expunge.engine.planning import concept_embeddings as gathering
from expunge.engine.planning.closed_form import wide
from expunge.engine.planning.embedding_cache import WordStore


def settle(device: str) -> None:
    """Wait for an accelerator, which works while the program goes on."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device.startswith("mps"):
        torch.mps.synchronize()


@dataclass(frozen=True)
class Timed:
    """The cost of one plan: prompts, and seconds of encoder, of tokens into moments, and of the editor."""

    prompts: int
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
def encodings() -> Iterator[list[tuple[int, float]]]:
    """Prompts and seconds of every call of the encoder inside."""
    original, calls = gathering.encode, []

    def watched(model: Any, prompts: Sequence[Any], *more: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(model, prompts, *more)
        finally:
            calls.append((len(prompts), time.perf_counter() - start))

    gathering.encode = watched
    try:
        yield calls
    finally:
        gathering.encode = original


@torch.no_grad()
def timed(
    model: Any,
    editor: str,
    count: int,
    device: str,
    overrides: Mapping[str, Any] | None = None,
    store: WordStore | None = None,
) -> Timed:
    """One plan in its parts, with the settings `told` in place of `settings`."""
    chosen, overrides = editor_named(editor), settings(editor) if overrides is None else overrides
    chosen_settings = settings_for(chosen, overrides)
    settle(device)
    start = time.perf_counter()
    with encodings() as calls:
        concepts = gathering.gather(model, spec(count, editor, dict(overrides)), chosen_settings, store=store)
    settle(device)
    gathered = time.perf_counter()
    found = projections(model)
    weights = {p.name: wide(p, concepts) for p in found}
    chosen.plan(weights, {p.name: p.kind for p in found}, concepts, chosen_settings)
    settle(device)
    prompts, encoding = (sum(values) for values in zip(*calls, strict=True))
    return Timed(prompts, encoding, gathered - start - encoding, time.perf_counter() - gathered)
