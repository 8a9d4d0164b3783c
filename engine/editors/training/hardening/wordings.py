"""The prompts of a hardening: of each target, beside what they become, and of what is kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from expunge.engine.errors import SettingError
from expunge.engine.probes.attacks.words import encoders
from expunge.engine.spec import EditSpec, Target
from expunge.engine.text.templates import Wording, fill, in_company, phrasing, target_pairs, worded
from expunge.engine.text.vocabulary import general_words

COMPANY = 24  # things that a style is drawn on
GENERAL_SHARES = 2  # of the model's own words, beside one of retained things and one of retained styles
EVERY = 10**9


@dataclass(frozen=True)
class Kept:
    """A prompt whose picture is kept; its `group`; `word`, where it is one of the model's own."""

    text: str
    group: int
    word: str = ""


def kept_prompts(pipeline: Any, spec: EditSpec, count: int, draws: torch.Generator) -> list[Kept]:
    """`count` prompts: of retained things and styles by turns, and of the model's own words.

    SettingError if they are too few for one of each group.
    """
    lines, words = phrasing(spec.erased), _own_words(pipeline, spec, draws)
    styles = [name for own in spec.retain if own.category == "style" for name in own.names]
    things = [own for own in spec.retain if own.category != "style"]
    groups = [[text.text for own in things for text in worded(own.names, lines(own.category))]]
    groups += [[text.text for text in in_company(styles, words[:COMPANY])]]
    groups = [_shuffled(texts, draws) for texts in groups if texts]
    each = count // (len(groups) + GENERAL_SHARES)
    if not each:
        raise SettingError(f"hardened.kept is {count}; keep at least {len(groups) + GENERAL_SHARES} pictures")
    kept = [Kept(text, group) for group, texts in enumerate(groups) for text in _cycled(texts, each)]
    spoken = zip(_cycled(words, count - len(kept)), itertools.cycle(lines("object")[1:]), strict=False)
    return kept + [Kept(fill(line, word).text, len(groups), word) for word, line in spoken]


def target_wordings(
    pipeline: Any, spec: EditSpec, target: Target, draws: torch.Generator
) -> list[tuple[Wording, Wording]]:
    """Return the target's wordings, each beside the one with its anchor.

    Of a style they are those in which it is drawn on things.
    """
    pairs = target_pairs(target, phrasing(spec.erased)(target.category))
    if target.category == "style":
        things = _own_words(pipeline, spec, draws)[:COMPANY]
        pairs += zip(
            in_company(target.names, things), in_company([target.anchor] * len(target.names), things), strict=True
        )
    return pairs


def suspected(target: Target, kept: Kept) -> str:
    """Return what one of the model's own words would say if it drew the target."""
    if target.category == "style":
        return in_company(target.names[:1], [kept.word])[-1].text
    return kept.text.replace(kept.word, target.names[0])


def _own_words(pipeline: Any, spec: EditSpec, draws: torch.Generator) -> list[str]:
    tokenizer = next(iter(encoders(pipeline).values()))[1]
    return _shuffled(general_words(tokenizer, spec.erased, EVERY, spec.seed), draws)


def _cycled(texts: Sequence[str], count: int) -> list[str]:
    return list(itertools.islice(itertools.cycle(texts), count))


def _shuffled(texts: Sequence[str], draws: torch.Generator) -> list[str]:
    return [texts[int(place)] for place in torch.randperm(len(texts), generator=draws)]
