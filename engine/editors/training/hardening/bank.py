"""What the unedited model says of targets' noised pictures, and what it is to say instead.

    goal = e*(x_t, a) - push (e*(x_t, c) - e*(x_t))

c is the wording that drew the picture and a the same with the target's anchor, or no words where it has none. The goal
is further from the target than no words are, as that of Erased Stable Diffusion is (arXiv 2303.07345), so a search has
to undo more than silence. It is one goal for each row: an aim that changes with a drawn anchor leaves the model a mean
of all of them, and gradients that are mostly noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.training.base import Run, Step
from expunge.engine.editors.training.denoiser import at_once, shared_out, take, unconditional
from expunge.engine.families import Arguments
from expunge.engine.models.denoising import Noised, noised, predicted


@dataclass(frozen=True)
class Bank:
    """Noised pictures of targets, n of them, with the predictions that a hardening learns from.

    `target` [n] is the number of the target. `noisy` are the latents and `times` [n] their levels. `truth` was to be
    predicted before, `goal` is from now on, and `unsaid` was predicted without words. `elsewhere` was predicted under
    another prompt, that of row `other` [n] of all conditions.
    """

    target: Tensor
    noisy: Tensor
    times: Tensor
    truth: Tensor
    goal: Tensor
    unsaid: Tensor
    elsewhere: Tensor
    other: Tensor


@dataclass(frozen=True)
class Teacher:
    """The unedited model, asked in `precision`, a context; `draws` are its draws."""

    pipeline: Any
    precision: Any
    draws: torch.Generator
    run: Run

    @torch.no_grad()
    def says(self, task: Noised, conditions: Arguments) -> Tensor:
        with self.precision():
            return predicted(self.pipeline, task.noisy, task.times, conditions)


def distance(said: Tensor, goal: Tensor) -> Tensor:
    """Return the mean squared error of each row, [n]."""
    return (said - goal).square().flatten(1).mean(1)


def bank_of(
    teacher: Teacher,
    conditions: Arguments,
    ends: Tensor,
    drawn: Tensor,
    instead: Mapping[int, int],
    others: Sequence[int],
    count: int,
    push: float,
) -> Bank:
    """Noise the pictures `ends` [n, c, h, w], drawn under the rows `drawn` [n], by turns until there are `count`.

    `instead` is the row of the wording with the anchor, where there is one, and `others` are rows of what is kept. The
    bank's `target` is the picture's number.
    """
    pipeline, draws = teacher.pipeline, teacher.draws
    order, size = torch.arange(max(count, len(ends))) % len(ends), at_once(pipeline.unet)
    tasks = [noised(pipeline, ends[block], draws) for block in order.split(size)]
    other = torch.tensor(others)[torch.randint(len(others), (len(order),), generator=draws)]
    nothing = unconditional(pipeline, size)

    def asked(part: tuple[Noised, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        task, rows, more = part
        unsaid = teacher.says(task, take(nothing, range(len(rows))))
        named, elsewhere = (teacher.says(task, take(conditions, own.tolist())) for own in (rows, more))
        anchored = [instead.get(row) for row in rows.tolist()]
        replaced = unsaid
        if any(row is not None for row in anchored):
            said = teacher.says(task, take(conditions, [row or 0 for row in anchored]))
            has_anchor = torch.tensor([row is not None for row in anchored], device=said.device)
            replaced = torch.where(has_anchor[:, None, None, None], said, unsaid)
        return replaced - push * (named - unsaid), unsaid, elsewhere

    made: list[tuple[Tensor, Tensor, Tensor]] = []
    parts = zip(tasks, drawn[order].split(size), other.split(size), strict=True)
    for number, own in enumerate(shared_out(asked, parts, teacher.run.threads)):
        made.append(own)
        teacher.run.report(Step("goals", number + 1, len(tasks)))
    goal, unsaid, elsewhere = (torch.cat(column) for column in zip(*made, strict=True))
    noisy, times, truth = (torch.cat([getattr(task, name) for task in tasks]) for name in ("noisy", "times", "goal"))
    return Bank(order, noisy, times, truth, goal, unsaid, elsewhere, other)
