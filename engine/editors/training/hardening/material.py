"""What the unedited model is asked once: how it draws what is kept, and what it makes of the targets' pictures.

All pictures are its own, so no outside data is needed. What is kept are the retained concepts and the model's own
words. Some of those words show a target all the same, as a synonym that nobody listed does. The model itself tells: it
denoises their pictures better under the target's name (Diffusion Classifier, arXiv 2303.16203). They are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from expunge.engine.editors.training.denoiser import at_once, read, take
from expunge.engine.editors.training.hardening.bank import Bank, Teacher, bank_of, distance
from expunge.engine.editors.training.hardening.paths import Paths, Walk, walked
from expunge.engine.editors.training.hardening.wordings import Kept, kept_prompts, suspected, target_wordings
from expunge.engine.families import Arguments
from expunge.engine.models.denoising import noised
from expunge.engine.spec import EditSpec
from expunge.engine.text.templates import Wording

LEVELS = 4  # of noise, at which the model tells what a picture shows
ANCHORS = 8  # prompts that a target's name is compared with


@dataclass(frozen=True)
class Material:
    """What a hardening learns from. `conditions` are what the denoiser is told of every prompt.

    `names` are the rows of each target's wordings, `anchors` those of what the model draws most surely; `spoken` is the
    row of each path of `kept`, and `groups` are the paths of each group that are kept.
    """

    conditions: Arguments
    wordings: list[list[Wording]]
    names: list[Tensor]
    anchors: Tensor
    kept: Paths
    spoken: Tensor
    groups: list[Tensor]
    bank: Bank


def gathered(teacher: Teacher, spec: EditSpec, kept: int, pictures: int, bank: int, push: float, how: Walk) -> Material:
    """Ask the unedited model: of `kept` pictures to keep, and of `pictures` of each target, noised `bank` times."""
    pipeline, draws, run = teacher.pipeline, teacher.draws, teacher.run
    stay = kept_prompts(pipeline, spec, kept, draws)
    pairs = [target_wordings(pipeline, spec, target, draws) for target in spec.targets]
    suspects = [[suspected(target, own) if own.word else own.text for own in stay] for target in spec.targets]
    texts = ["", *(own.text for own in stay), *(text.text for own in pairs for pair in own for text in pair)]
    row = {text: place for place, text in enumerate(dict.fromkeys(texts + [text for own in suspects for text in own]))}
    conditions, spoken = read(pipeline, list(row)), torch.tensor([row[own.text] for own in stay])
    paths = walked(pipeline, take(conditions, spoken.tolist()), how, draws, "pictures to keep", run, teacher.precision)
    asked = [torch.tensor([row[text] for text in own]) for own in suspects]
    sound = _sound(teacher, conditions, stay, paths.ends, spoken, asked)
    names = [torch.tensor([row[text.text] for text, _ in own]) for own in pairs]
    drawn = torch.cat([own[torch.randint(len(own), (pictures,), generator=draws)] for own in names])
    words = take(conditions, drawn.tolist())
    ends = walked(pipeline, words, how, draws, "pictures to forget", run, teacher.precision).ends
    others = [int(spoken[place]) for place in sound] or [row[""]]
    made = bank_of(teacher, conditions, ends, drawn, _instead(spec, pairs, row), others, bank, push)
    groups = [[place for place in sound if stay[place].group == group] for group in sorted({own.group for own in stay})]
    outspoken = _outspoken(paths, [place for place in sound if stay[place].word])[:ANCHORS]
    return Material(
        conditions,
        wordings=[[text for text, _ in own] for own in pairs],
        names=names,
        anchors=torch.tensor([int(spoken[place]) for place in outspoken] or [row[""]]),
        kept=paths,
        spoken=spoken,
        groups=[torch.tensor(own) for own in groups if own],
        bank=replace(made, target=made.target // pictures),
    )


def _instead(
    spec: EditSpec, pairs: Sequence[Sequence[tuple[Wording, Wording]]], row: Mapping[str, int]
) -> dict[int, int]:
    """Return the row of each wording with its target's anchor, where it has one."""
    anchored = [own for target, own in zip(spec.targets, pairs, strict=True) if target.anchor]
    return {row[text.text]: row[other.text] for own in anchored for text, other in own}


def _sound(
    teacher: Teacher,
    conditions: Arguments,
    stay: Sequence[Kept],
    ends: Tensor,
    spoken: Tensor,
    suspects: Sequence[Tensor],
) -> list[int]:
    """Return the kept pictures but those of the model's own words that it takes for a target's."""
    own_words = torch.tensor([place for place, own in enumerate(stay) if own.word])
    shown: set[int] = set()
    for block in own_words.split(at_once(teacher.pipeline.unet)):
        own, theirs = torch.zeros(len(block)), torch.zeros(len(suspects), len(block))
        for _ in range(LEVELS):
            task = noised(teacher.pipeline, ends[block], teacher.draws)
            own += distance(teacher.says(task, take(conditions, spoken[block].tolist())), task.goal).cpu()
            for number, rows in enumerate(suspects):
                theirs[number] += distance(teacher.says(task, take(conditions, rows[block].tolist())), task.goal).cpu()
        shown |= set(block[(theirs < own).any(0)].tolist())
    return [place for place in range(len(stay)) if place not in shown]


def _outspoken(kept: Paths, places: Sequence[int]) -> list[int]:
    """Return these paths, first those whose words move the prediction furthest from the one without words."""
    moved = (kept.said - kept.unsaid).square().flatten(1).mean(1)
    return sorted(places, key=lambda place: -moved[place].item())
