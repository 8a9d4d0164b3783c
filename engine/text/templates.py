"""Wordings of concepts: names in the templates of their category, beside the same words without the name.

The templates are data, one wording a line, in `wordings/CATEGORY.txt`. Their digest is part of a plan.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from expunge.engine.errors import ConceptError
from expunge.engine.files.digests import file_digest, json_digest
from expunge.engine.spec import Target

FOLDER = Path(__file__).parent / "wordings"
SENTENCES = 4  # in which each kept name is read
VOWELS = tuple("aeiou")
WORD = re.compile(r"\w+")
WORDED_AS = {"object": "object", "style": "style", "identity": "person", "character": "person", "explicit": "object"}
"""The name of the file with the wordings of a category, for templates and probes alike."""


@dataclass(frozen=True)
class Wording:
    """A prompt, and the range of its characters, `span`, that is the concept. `filled` puts another concept there."""

    text: str
    span: tuple[int, int]

    @property
    def is_open(self) -> bool:
        """Return whether the place of the concept is empty."""
        return self.span[0] == self.span[1]

    def filled(self, words: str) -> Wording:
        """Return the same prompt with `words` as the concept."""
        start, end = self.span
        return Wording(self.text[:start] + words + self.text[end:], (start, start + len(words)))


@cache
def templates(category: str) -> tuple[str, ...]:
    """Return the wordings of a category.

    Raises:
        ConceptError: there is no such category; the message lists those there are.
    """
    path = FOLDER / f"{category}.txt"
    files = sorted(file.stem for file in FOLDER.glob("*.txt"))
    if category not in files:
        known = [name for name in files if not name.startswith("sentences_")]
        raise ConceptError(f"category {category!r} has no templates; use one of {', '.join(known)}")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def templates_digest() -> str:
    return json_digest({path.stem: file_digest(path) for path in sorted(FOLDER.glob("*.txt"))})


def with_article(words: str) -> str:
    """Return the words after the article, a or an, that suits them."""
    return f"{'an' if words[:1].lower() in VOWELS else 'a'} {words}"


def fill(template: str, words: str, article_for: str | None = None) -> Wording:
    """Put `words` in the place of {}, with the article (a, an) that suits `article_for`, by default the words.

    A template keeps its article when the words are empty, so that all that comes before the concept stays the same.
    """
    before, after = template.split("{}")
    suited = words if article_for is None else article_for
    if suited:
        before = re.sub(r"\ban? $", with_article(suited).removesuffix(suited), before)
    return Wording(before + after, (len(before), len(before))).filled(words)


def worded(names: Sequence[str], lines: Sequence[str]) -> list[Wording]:
    """Return every name in every line."""
    return [fill(line, name) for line in lines for name in names]


def phrasing(erased: Iterable[str], bare: bool = False) -> Callable[[str], tuple[str, ...]]:
    """Return a function that gives the lines for concepts of a category while these names are erased.

    With `bare` the only line is the name alone. Templates whose own words name something erased are left out. Otherwise
    `a house in the style of {}` would keep houses. As a wording of an erased style it would pull houses towards
    themselves.
    """
    if bare:
        return lambda category: ("{}",)
    silent = silent_on(erased)
    return cache(lambda category: tuple(filter(silent, templates(category))))


def silent_on(erased: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether a line's own words name nothing that is erased."""
    whole = {_runs(name)[-1] for name in erased}
    return lambda line: all(whole.isdisjoint(_runs(part)) for part in line.split("{}"))


def in_sentences(names: Sequence[str], category: str, erased: Iterable[str]) -> list[Wording]:
    """Return `SENTENCES` whole sentences for each name, of those that name nothing erased; none for a style.

    The choice depends on the name. Many sentences, each read for a few names, hold as much as all of them read for
    every name.
    """
    if category == "style":
        return []
    lines = list(filter(silent_on(erased), templates(f"sentences_{category}")))
    few = min(SENTENCES, len(lines))
    return [fill(line, name) for name in names for line in random.Random(f"sentences/{name}").sample(lines, few)]


def in_company(names: Sequence[str], things: Sequence[str]) -> list[Wording]:
    """Return wordings of a style with each of the things drawn in it.

    A picture is seldom asked for by its style alone.
    """
    lines = [line.rsplit("{}", 1) for line in templates("company")]
    drawn = [(fill(before, thing).text, after) for before, after in lines for thing in things]
    return [Wording(text + after, (len(text), len(text))).filled(name) for text, after in drawn for name in names]


def kinship_of(erased: Sequence[str]) -> Callable[[Sequence[str]], bool]:
    """Return a function that says whether any of a concept's names is related to an erased name.

    Two names are related if one has all words of the other in a row, as `police car` has those of `car`.
    """
    whole = {_runs(name)[-1] for name in erased}
    parts = {run for name in erased for run in _runs(name)}
    return lambda names: any(_runs(name)[-1] in parts or not whole.isdisjoint(_runs(name)) for name in names)


def _runs(name: str) -> list[str]:
    """Return every run of words of a name, the whole name last."""
    words = WORD.findall(name.casefold()) or [name.casefold().strip()]
    ends = range(1, len(words) + 1)
    return [" ".join(words[start:end]) for end in ends for start in reversed(range(end))]


def target_pairs(target: Target, lines: Sequence[str]) -> list[tuple[Wording, Wording]]:
    """Return each wording of a target beside the same wording with its anchor in the target's place.

    The wordings are those of these lines and of the target's own prompts.
    """
    pairs = [(line, name) for line in lines for name in target.names]
    pairs += [pair for prompt in target.prompts for pair in _own(prompt, target.names)]
    return [(fill(line, name), fill(line, target.anchor, article_for=name)) for line, name in pairs]


def own_wordings(prompts: Sequence[str], names: Sequence[str]) -> list[Wording]:
    """Return a policy's own prompts: one with a place for a name with each name in it, any other as it is."""
    return [fill(line, name) for prompt in prompts for line, name in _own(prompt, names)]


def _own(prompt: str, names: Sequence[str]) -> list[tuple[str, str]]:
    if prompt.count("{}") > 1:
        raise ConceptError(f"prompt {prompt!r} has more than one place for a name; leave one {{}}")
    return [(prompt, name) for name in names] if "{}" in prompt else [("{}", prompt)]
