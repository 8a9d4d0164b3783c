"""Prompt families: a concept asked for by name, by alias, in variants, and in the policy's own words.

The wordings are data, one a line as `family<TAB>wording`, in `CATEGORY.txt` beside this file. Names and some prefixes
are among the templates that an editor sees, because people ask in these. Most variants are not, so an edit is also
examined in words that it was not made with. `expunge.engine.probes.prompts.further_families` asks in further ways, and
`expunge.engine.probes.levels` says in which of all these a verification asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path

from expunge.engine.errors import ConceptError
from expunge.engine.files.digests import file_digest, json_digest
from expunge.engine.models.sampling import Shot
from expunge.engine.text.templates import WORDED_AS, silent_on, with_article

FOLDER = Path(__file__).parent
EVERYDAY = ("house", "tree", "cup", "chair", "bridge")


@dataclass(frozen=True)
class Subject:
    """A concept under examination: a target or a kept one. Each field holds what the caller knows.

    Attributes:
        prompts: the policy's own prompts.
        alias_prompts: the same prompts with an alias in place of the name.
        synonyms: names that the policy does not list.
        clues: words that point to the concept without naming it.
        spellings: its name in other capitals and quotes, where the model reads these as other words.
        translations: its names in other languages.
        seen_as: further names under which the judge may see it.
    """

    id: str
    role: str
    category: str
    name: str
    aliases: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    clues: tuple[str, ...] = ()
    spellings: tuple[str, ...] = ()
    translations: tuple[str, ...] = ()
    seen_as: tuple[str, ...] = ()
    alias_prompts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return all names of the concept in the policy's language."""
        return (self.name, *self.aliases, *self.synonyms)


@dataclass(frozen=True)
class Question:
    """One picture to draw and the concept to look for in it; `probe` is the prompt family."""

    subject: Subject
    probe: str
    shot: Shot


@cache
def wordings(category: str, folder: Path = FOLDER) -> tuple[tuple[str, str], ...]:
    """Return the (family, wording) pairs of a category. Raises ConceptError that lists the categories."""
    if category not in WORDED_AS:
        raise ConceptError(f"category {category!r} has no probe wordings; use one of {', '.join(sorted(WORDED_AS))}")
    lines = (folder / f"{WORDED_AS[category]}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(_pair(line) for line in lines if line and not line.startswith("#"))


def _pair(line: str) -> tuple[str, str]:
    family, wording = line.split("\t")
    return family, wording


def probes_digest() -> str:
    """Return the digest of all wordings and tables that probes are made from."""
    data = sorted(path for ending in ("txt", "tsv") for path in FOLDER.rglob(f"*.{ending}"))
    return json_digest({path.relative_to(FOLDER).as_posix(): file_digest(path) for path in data})


def prompts(subject: Subject, count: int, beside: Sequence[str]) -> list[tuple[str, str]]:
    """Return (family, prompt) pairs: `count` wordings of the name, one of every alias, and all of the policy's own.

    The policy's prompts with an alias belong to the aliases' family: a name that the model never knew makes no prompt
    that it could know.
    """
    drawn = cycle(beside)
    lines = wordings(subject.category)[:count]
    asked = [(family, _fill(wording, subject.name, next(drawn))) for family, wording in lines]
    spoken = cycle(wordings(subject.category))
    asked += [("alias", _fill(next(spoken)[1], alias, next(drawn))) for alias in subject.aliases]
    asked += [("policy", prompt) for prompt in subject.prompts]
    asked += [("alias", prompt) for prompt in subject.alias_prompts]
    return [(family, prompt) for prompt, family in {prompt: family for family, prompt in reversed(asked)}.items()][::-1]


def _fill(wording: str, name: str, subject: str) -> str:
    return wording.format(name, a=with_article(name), subject=with_article(subject))


def kept_objects(subjects: Sequence[Subject]) -> list[str]:
    """Return the objects that targets are drawn beside and styles in.

    General objects come before look-alikes, and no erased one is among them. Where no object is kept, return things
    that everybody knows.
    """
    kept = [
        item.name
        for role in ("general", "look_alike")
        for item in subjects
        if item.role == role and item.category == "object"
    ]
    erased = [name for item in subjects if item.role == "target" for name in item.names]
    return kept or list(filter(silent_on(erased), EVERYDAY)) or list(EVERYDAY)


def questions(subjects: Sequence[Subject], count: int, seeds: int, seed: int = 0) -> list[Question]:
    """Return every picture that a quick verification takes.

    Each subject is asked in each of its prompts, with `seeds` seeds from `seed` on.
    """
    kept = kept_objects(subjects)
    return [
        Question(subject, family, Shot(prompt, seed + number))
        for subject in subjects
        for family, prompt in prompts(subject, count, kept)
        for number in range(seeds)
    ]
