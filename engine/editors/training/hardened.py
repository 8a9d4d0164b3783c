"""Hardened erasure: a target that is gone from the weights, not only from the words.

A closed-form edit moves the words, and whoever has the weights learns other words for what the denoiser still knows
(textual inversion, arXiv 2308.01508). So the denoiser is trained after the edit, in a contest with searches for such
words, as STEREO (arXiv 2408.16807) and AdvUnlearn (arXiv 2405.15234) do: `hardening/contest.py` has the loss. Here the
searches never stop, and learn in the same steps as the model, from the same rows. A round begins with searches anew,
against the model as it stands; where none of them brings a target back, the training is over. All pictures are the
unedited model's own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from expunge.engine.editors.base import at_least
from expunge.engine.editors.training.base import Run, Step, Trainer
from expunge.engine.editors.training.denoiser import PARAMETERS, chosen, is_trained, unconditional
from expunge.engine.editors.training.hardening import fresh_search
from expunge.engine.editors.training.hardening.bank import Teacher
from expunge.engine.editors.training.hardening.contest import Contest
from expunge.engine.editors.training.hardening.low_rank import add_low_rank, fold_low_rank
from expunge.engine.editors.training.hardening.material import gathered
from expunge.engine.editors.training.hardening.paths import Walk
from expunge.engine.editors.training.hardening.rows import RowDraws
from expunge.engine.editors.training.hardening.searchers import Searches
from expunge.engine.files.digests import json_digest
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.spec import EditSpec

FIRST_EDIT = "scapre"
POOLED = "unet.add_embedding.linear_1.weight"  # of Stable Diffusion XL; the others are of cross-attention
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FRESH = ((4, 1.0), (2, 0.5), (8, 1.5))
"""By turns, the vectors of a fresh search, and how many times the usual steps it takes."""
TOGETHER = 4  # fresh searches in one pass


@dataclass(frozen=True)
class HardenedSettings:
    """Settings of the trainer `hardened`: its steps, its goal, what it holds still, and its searches for words.

    At most `rounds` of `iterations` of Adam at `rate`, each on `batch` attacked, plain and kept rows, `accumulate`
    times over. `push` is that of the goal (`hardening/bank.py`). `unsaid` says whether a target's pictures keep what
    was predicted of them without words. `keep` weighs the kept rows, and `average` is the share of the running average
    that stays in a step.

    `pictures` are drawn of each target and noised `bank` times in all, and `kept` of what stays, in `steps` under
    `guidance`. `searchers` search at a time, about `life` steps each, at `search` of the spread of word vectors. A
    round begins with fresh searches of about `fresh` steps against the model as it stands, or with none at 0.
    `parameters` may change, by products of `rank` or, at 0, as they are. `precision` is that of the passes, and
    `checkpointing` computes them twice to save memory.
    """

    rounds: int = 4
    iterations: int = 150
    rate: float = 0.0002
    batch: int = 8
    accumulate: int = 1
    push: float = 1.0
    unsaid: str = field(default="moved", metadata={"choices": ("kept", "moved")})
    keep: float = 3.0
    average: float = 0.98
    pictures: int = 32
    bank: int = 768
    kept: int = 240
    steps: int = 12
    guidance: float = 2.0
    searchers: int = 6
    life: int = 120
    search: float = 0.2
    fresh: int = 300
    parameters: str = field(default="full", metadata={"choices": PARAMETERS})
    rank: int = 0
    precision: str = field(default="bfloat16", metadata={"choices": tuple(TYPES)})
    checkpointing: bool = False

    def __post_init__(self) -> None:
        counted = ("batch", "accumulate", "pictures", "kept", "steps", "searchers", "life")
        at_least("hardened", 1, **{name: getattr(self, name) for name in counted})


def train(pipeline: Any, student: Any, spec: EditSpec, settings: HardenedSettings, run: Run) -> None:
    precision = partial(_in_precision, pipeline.unet.device.type, TYPES[settings.precision])
    first = EditSpec(spec.targets, spec.retain, FIRST_EDIT, {}, spec.seed)
    _begin_at(student, run.closed_form(pipeline, first))
    teacher = Teacher(pipeline, precision, _draws(spec, "pictures"), run)
    how = Walk(settings.steps, settings.guidance)
    material = gathered(teacher, spec, settings.kept, settings.pictures, settings.bank, settings.push, how)
    draws = _draws(spec, "contest")
    searches = Searches(pipeline, spec.erased, len(spec.targets), settings.search, settings.life, draws)
    weights = _trainable(student.unet, settings, _draws(spec, "low rank"))
    rows = RowDraws(material, unconditional(pipeline, 1), draws, settings.unsaid)
    contest = Contest(student, weights, rows, searches, settings, precision, run.threads)
    for number in range(_resumed(contest, run), settings.rounds):
        if settings.fresh and not _found_again(teacher, contest, settings, how, spec, number):
            break
        _fight(contest, number, settings, run)
        run.checkpoints.save("round", {**contest.state(), "next": torch.tensor(number + 1)})
    fold_low_rank(student.unet)


def _in_precision(device: str, dtype: torch.dtype) -> AbstractContextManager[Any]:
    return nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype)


def _draws(spec: EditSpec, purpose: str) -> torch.Generator:
    """Return draws of their own for each purpose, so that one that is resumed need not repeat another's."""
    return torch.Generator().manual_seed(int(json_digest([spec.seed, purpose])[:15], 16))


@torch.no_grad()
def _begin_at(student: Any, plan: EditPlan) -> None:
    """Make the edit in closed form first, of which the words are gone."""
    for name, delta in plan.deltas.items():
        weight = student.unet.get_parameter(name.removeprefix("unet."))
        weight.add_(delta.to(weight.device))


def _trainable(unet: nn.Module, settings: HardenedSettings, draws: torch.Generator) -> list[nn.Parameter]:
    if settings.checkpointing:
        unet.enable_gradient_checkpointing()  # type: ignore[operator]
    if not settings.rank:
        return list(chosen(unet, settings.parameters).values())
    return add_low_rank(unet, settings.rank, draws, only=".attn2." if settings.parameters != "full" else "")


def _resumed(contest: Contest, run: Run) -> int:
    """Return the round to begin with, after those that a killed training had done."""
    if (state := run.checkpoints.load("round")) is None:
        return 0
    contest.restore(state)
    return int(state["next"])


def _fight(contest: Contest, number: int, settings: HardenedSettings, run: Run) -> None:
    whole = settings.rounds * settings.iterations
    for step in range(settings.iterations):
        loss = contest.step()
        run.report(Step("training", number * settings.iterations + step + 1, whole, loss))
    contest.settle()


def _found_again(
    teacher: Teacher, contest: Contest, settings: HardenedSettings, how: Walk, spec: EditSpec, number: int
) -> bool:
    """Search anew against the model as it stands; return True if any search brought its target back.

    The model is trained against all words found from now on, and their searches go on as it changes. Before the first
    round nobody is asked: a closed form is not expected to hold.
    """
    asking = replace(teacher, draws=_draws(spec, f"fresh search {number}"))
    material, count = contest.rows.material, len(spec.targets)
    rows = RowDraws(material, contest.rows.nothing, asking.draws)
    searches = Searches(teacher.pipeline, spec.erased, count, settings.search, settings.life, asking.draws)
    kinds = [FRESH[(turn // count + turn + number) % len(FRESH)] for turn in range(max(len(FRESH), count))]
    searchers = [
        searches.begin_with(turn % count, words, max(1, round(settings.fresh * times)))
        for turn, (words, times) in enumerate(kinds)
    ]
    for few in (searchers[start : start + TOGETHER] for start in range(0, len(searchers), TOGETHER)):
        fresh_search.search(contest.student, rows, few, asking)
    for turn, searcher in enumerate(searchers):
        contest.meet(searcher, turn)
    shown = (fresh_search.share_shown(asking, contest.student, material, own, how) for own in searchers)
    return number == 0 or max(shown) > 0


def may_change(parameters: str, weight: str) -> bool:
    """Return whether a weight of a pipeline is trained, or is an entrance of text that the first edit changes."""
    return is_trained(parameters, weight) or weight == POOLED


TRAINER = Trainer("hardened", HardenedSettings, train, lambda settings: partial(may_change, settings.parameters))
