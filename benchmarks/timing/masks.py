"""What `scapre-released` saves where rows share a concept's mask: `python -m benchmarks.speed --part masks`.

Beside the sums as the editor takes them (`engine/editors/released/values.py`) stand the same sums with every row going
through every token, in one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.common.page import table
from benchmarks.timing.fullsize import Size, pipeline, spec
from benchmarks.timing.plans import settle
from expunge.engine.editors.released.values import Batch, add_all, add_masked
from expunge.engine.editors.scapre_released import ReleasedSettings, masks
from expunge.engine.families import projections
from expunge.engine.planning.concept_embeddings import gather

EDITOR, SETTINGS = "scapre-released", ReleasedSettings()
Case = tuple[Tensor, list[int], list[Tensor], Batch]


@torch.no_grad()
def report(size: Size, count: int, device: str, repeats: int) -> str:
    """Return a table of one line for `count` concepts; times are the least of `repeats`."""
    cases = list(batches(pipeline(size, device=device), count))
    alike = total = 0
    for _, _, found, _ in cases:
        alike += sum((mask == mask.median(0).values).sum().item() for mask in found)
        total += sum(mask.numel() for mask in found)
    ours, plain = (min(seconds(add, cases, device) for _ in range(repeats)) for add in (add_masked, add_all))
    apart = max(distance(summed(add_masked, case), summed(add_all, case)) for case in cases)
    header = ["concepts", "rows of the common mask, %", "sums, s", "every row and token, s", "times as fast", "apart"]
    line = [str(count), f"{100 * alike / total:.1f}", f"{ours:.2f}", f"{plain:.2f}", f"{plain / ours:.1f}"]
    return f"Masks of `{EDITOR}`:\n\n{table(header, [[*line, f'{apart:.0e}']])}"


def batches(model: Any, count: int) -> Iterator[Case]:
    """Rows, the matrices' sizes, masks and tokens, run of concepts by run, tokens in no basis but their own."""
    concepts = gather(model, spec(count, EDITOR, {}), SETTINGS)
    weights = [p.weight.detach().float() for p in projections(model)]
    rows, sizes = torch.cat(weights), [len(weight) for weight in weights]
    as_they_are = torch.eye(rows.shape[1], dtype=torch.float64, device=rows.device)
    for part, own, _ in masks(rows, sizes, concepts, SETTINGS):
        yield rows, sizes, own, Batch.of(concepts.tokens, part, as_they_are, rows)  # type: ignore[arg-type]


def summed(add: Callable[..., None], case: Case) -> Tensor:
    values = torch.zeros_like(case[0])
    add(values, *case)
    return values


def distance(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).norm() / wanted.norm()).item()


def seconds(add: Callable[..., None], cases: list[Case], device: str) -> float:
    settle(device)
    start = time.perf_counter()
    for case in cases:
        summed(add, case)
    settle(device)
    return time.perf_counter() - start
