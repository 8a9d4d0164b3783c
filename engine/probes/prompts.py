"""Prompt families: a concept asked for by name, by alias, in variants, and in the policy's own words.

The wordings are data, one a line as `family<TAB>wording`, in `CATEGORY.txt` beside this file. Names and some prefixes
are among the templates an editor sees, for people ask in these; most variants are not, so that an edit is examined in
other words too than those it was made with. `expunge.engine.probes.families` asks in further ways,
`expunge.engine.probes.levels` says which of all these a verification asks in.
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
    """A concept under examination: a target or a retained one.

    `prompts` are the policy's own, and `alias_prompts` those of them that have an alias in the name's place;
    `synonyms` are names the policy does not list, `clues` words that point to it without naming it, `spellings` its
    name in other capitals and quotes, where the model reads these as other words, `translations` its names in other
    languages, `seen_as` what else the judge would call it, beside its name; whoever makes a subject fills in what it
    knows.
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
        """All that it is known by in the policy's language."""
        return (self.name, *self.aliases, *self.synonyms)


@dataclass(frozen=True)
class Question:
    """One picture to take and what to look for in it; `probe` is the prompt family."""

    subject: Subject
    probe: str
    shot: Shot


@cache
def wordings(category: str, folder: Path = FOLDER) -> tuple[tuple[str, str], ...]:
    """(family, wording) of a category; ConceptError names the categories there are."""
    if category not in WORDED_AS:
        raise ConceptError(f"category {category!r} has no probe wordings; use one of {', '.join(sorted(WORDED_AS))}")
    lines = (folder / f"{WORDED_AS[category]}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(_pair(line) for line in lines if line and not line.startswith("#"))


def _pair(line: str) -> tuple[str, str]:
    family, wording = line.split("\t")
    return family, wording


def probes_digest() -> str:
    """The version of all wordings and tables that probes are made from."""
    data = sorted(path for ending in ("txt", "tsv") for path in FOLDER.rglob(f"*.{ending}"))
    return json_digest({path.relative_to(FOLDER).as_posix(): file_digest(path) for path in data})


def prompts(subject: Subject, count: int, beside: Sequence[str]) -> list[tuple[str, str]]:
    """(family, prompt): `count` wordings of the name, one of every alias, and all of the policy's own, of which those
    with an alias are of the aliases' family: a name that the model never knew makes no prompt that it could know."""
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
    """What targets are drawn beside and styles in: general objects before look-alikes, never an erased one; where none
    is kept, things that everybody knows."""
    kept = [
        item.name
        for role in ("general", "look_alike")
        for item in subjects
        if item.role == role and item.category == "object"
    ]
    erased = [name for item in subjects if item.role == "target" for name in item.names]
    return kept or list(filter(silent_on(erased), EVERYDAY)) or list(EVERYDAY)


def questions(subjects: Sequence[Subject], count: int, seeds: int, seed: int = 0) -> list[Question]:
    """Every picture a quick verification takes: each subject in each of its prompts, `seeds` seeds from `seed` on."""
    kept = kept_objects(subjects)
    return [
        Question(subject, family, Shot(prompt, seed + number))
        for subject in subjects
        for family, prompt in prompts(subject, count, kept)
        for number in range(seeds)
    ]
