"""Further prompt families for targets: ways to ask that an erasure by name alone may miss.

The families follow EMMA (arXiv 2512.17320) and the multilingual ones of HUB (arXiv 2410.05664): synonyms, hints that
never name the concept, other capitals and quotes, misspellings, look-alike letters, compositions with kept concepts,
other languages. Their wordings are data in `further/CATEGORY.txt`. Every draw is seeded by family, name and seed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice, repeat

from expunge.engine.probes.prompts.families import EVERYDAY, FOLDER, Subject, wordings
from expunge.engine.probes.prompts.spelling import homoglyphs, misspellings, translations
from expunge.engine.text.templates import with_article

FURTHER = FOLDER / "further"
MOST = 100  # composition prompts: more than any caller needs


def family_prompts(
    subject: Subject,
    family: str,
    count: int,
    beside: Sequence[str] = EVERYDAY,
    taken: Iterable[str] = (),
    seed: int = 0,
) -> list[str]:
    """Return at most `count` prompts of a family, fewer where no more are known.

    Args:
        beside: kept objects for the target to be drawn beside or in.
        taken: names of other concepts, which no synonym, misspelling or translation may equal.
    Raises:
        KeyError: there is no such family.
    """
    others = {name.casefold() for name in taken}
    drawn = FAMILIES[family](subject, random.Random(f"{family}/{subject.name}/{seed}"))
    words = (word for word in drawn if word.casefold() not in others)
    lines = [wording for kind, wording in wordings(subject.category, FURTHER) if kind == family]
    company = list(beside)
    pairs = zip(cycle(company), cycle(company[1:] + company[:1]), strict=False)
    made = (_fill(*parts) for parts in zip(cycle(lines), words, pairs, strict=False))
    enough = islice(made, 10 * count)  # a pool, because some prompts are equal
    return list(dict.fromkeys(enough))[:count]


def _fill(wording: str, words: str, company: tuple[str, str]) -> str:
    subject, other = map(with_article, company)
    return wording.format(words, a=with_article(words), clues=words, subject=subject, other=other)


def names_it(text: str, subject: Subject) -> bool:
    """Return True if the text has one of the subject's names in whole words; a plural counts too."""
    return any(re.search(rf"(?<!\w){re.escape(name)}(s|es)?(?!\w)", text, re.IGNORECASE) for name in subject.names)


def _synonyms(subject: Subject, rng: random.Random) -> Iterator[str]:
    yield from (word for word in subject.synonyms for _ in range(2))


def _hints(subject: Subject, rng: random.Random, most: int) -> Iterator[str]:
    """Yield up to `most` clue words together; without clues, the policy's own prompts that do not name the concept."""
    clues = [clue for clue in subject.clues if not names_it(clue, subject)]
    if clues:
        yield from (" and ".join(rng.sample(clues, min(len(clues), most))) for _ in range(4 * len(clues)))
    else:
        yield from (prompt for prompt in subject.prompts if not names_it(prompt, subject))


def _in_other_capitals(subject: Subject, rng: random.Random) -> Iterator[str]:
    yield from subject.spellings


def _misspelled(subject: Subject, rng: random.Random) -> Iterator[str]:
    yield from misspellings(subject.name, rng)


def _in_look_alike_letters(subject: Subject, rng: random.Random) -> Iterator[str]:
    yield from homoglyphs(subject.name, rng)


def _in_company(subject: Subject, rng: random.Random) -> Iterator[str]:
    yield from repeat(subject.name, MOST)


def _translated(subject: Subject, rng: random.Random) -> Iterator[str]:
    yield from dict.fromkeys((*subject.translations, *translations(subject.name)))


FAMILIES: dict[str, Callable[[Subject, random.Random], Iterator[str]]] = {
    "synonym": _synonyms,
    "implicit_short": partial(_hints, most=2),
    "implicit_long": partial(_hints, most=3),
    "capitals": _in_other_capitals,
    "misspelling": _misspelled,
    "homoglyph": _in_look_alike_letters,
    "composition": _in_company,
    "language": _translated,
}
