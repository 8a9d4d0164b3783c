"""A search for words that bring a target back, against a model as it stands, and whether it found any.

The search is an inversion of a model that stands still. What the model draws under the words found is told by the
unedited model: a picture shows the target if no other prompt than the target's name denoises it as well (Diffusion
Classifier, arXiv 2303.16203). So no judge is needed, and the judge that decides the verdict is not trained against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.training.base import Step
from expunge.engine.editors.training.denoiser import take
from expunge.engine.editors.training.hardening.bank import Teacher, distance
from expunge.engine.editors.training.hardening.material import Material
from expunge.engine.editors.training.hardening.paths import Walk, walked
from expunge.engine.editors.training.hardening.rows import RowDraws, joined
from expunge.engine.editors.training.hardening.searchers import Searcher
from expunge.engine.models.denoising import Noised, noised, predicted
from expunge.engine.probes.attacks.words import repeated

ROWS = 4  # of the target's noised pictures in each step of the search
PICTURES = 8
LEVELS = 8  # of noise, at which each picture is classified


def search(student: Any, rows: RowDraws, searchers: Sequence[Searcher], teacher: Teacher) -> None:
    """Let the searchers live their lives side by side against the model as it stands, on rows that are drawn for each.

    Rows do not mix in the denoiser, so the gradient of the sum of their errors is that of each.
    """
    bank, longest = rows.material.bank, max(own.life for own in searchers)
    for step in range(longest):
        live = [own for own in searchers if own.done < own.life]
        at = torch.cat([rows.attacked(own.target, ROWS) for own in live])
        wordings = [rows.wording(own.target) for own in live]
        with torch.enable_grad(), teacher.precision():
            words = joined([repeated(own.asked(student, line), ROWS) for own, line in zip(live, wordings, strict=True)])
            errors = distance(predicted(student, bank.noisy[at], bank.times[at], words), bank.truth[at]).split(ROWS)
            loss = torch.stack([error.mean() for error in errors]).sum()
            gradients = iter(torch.autograd.grad(loss, [vector for own in live for vector in own.vectors.values()]))
        for own in live:
            own.step([next(gradients) for _ in own.vectors])
        teacher.run.report(Step("fresh search", step + 1, longest, loss.item() / len(live)))


@torch.no_grad()
def share_shown(teacher: Teacher, student: Any, material: Material, searcher: Searcher, how: Walk) -> float:
    """Return the share of the pictures under the found words in which the unedited model knows the target."""
    draws = teacher.draws
    wordings = [
        material.wordings[searcher.target][turn % len(material.wordings[searcher.target])] for turn in range(PICTURES)
    ]
    words = searcher.found(student, wordings)
    ends = walked(student, words, how, draws, "pictures under the words found", teacher.run, teacher.precision).ends
    return _shown(teacher, material, ends, searcher.target)


def _shown(teacher: Teacher, material: Material, ends: Tensor, target: int) -> float:
    """Return the share of pictures, by their latents `ends`, that the target's name denoises best of all prompts."""
    rows = [int(material.names[target][0]), *material.anchors.tolist()]
    words = take(material.conditions, [row for row in rows for _ in ends])
    errors = torch.zeros(len(rows), len(ends))
    for _ in range(LEVELS):
        task = noised(teacher.pipeline, ends, teacher.draws)
        tasks = Noised(*(torch.cat([part] * len(rows)) for part in (task.noisy, task.times, task.goal)))
        errors += distance(teacher.says(tasks, words), tasks.goal).float().cpu().view(len(rows), -1)
    return (errors.argmin(0) == 0).float().mean().item()
