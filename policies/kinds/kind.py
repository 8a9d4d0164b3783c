"""A kind of notice: what it must contain, by when it is due, and what follows from it. Each kind is one file here.

This is a working aid and no legal advice: check the official text before you rely on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

SIGNED = ("signature", "electronic signature", "signed")
REACHED = ("contact", "e-mail", "email", "address", "telephone", "phone")
LOCATED = ("infringing material", "material", "location", "infringing url", "where it is")
"""Headings under which most notices give their signature, their contact and the material."""
BELIEF = (r"\bgood[- ]faith\b", r"\bbelie(f|ve)\b")
"""Phrases of a statement of good-faith belief."""
DSA = "DSA 16(2)"


@dataclass(frozen=True)
class Element:
    """One thing that a notice must contain.

    `ask` is the sentence that is sent back where it is missing. `labels` are the headings under which a plain text
    may give it. `statement` are the phrases (regular expressions) that one affirmative sentence must all hold.
    """

    name: str
    source: str
    ask: str
    labels: tuple[str, ...] = ()
    statement: tuple[str, ...] = ()


@dataclass(frozen=True)
class Term:
    """The time that a law gives, in words, and as a function from the receipt of a notice to the moment it is due."""

    words: str
    due_after: Callable[[datetime], datetime]


@dataclass(frozen=True)
class Reasons:
    """What a statement of reasons under the DSA says of a kind, in the values of the Commission's interface.

    Without a `ground` in law it is the provider's own decision.
    """

    ground: str
    category: str
    keyword: str = ""
    source: str = "SOURCE_ARTICLE_16"


@dataclass(frozen=True)
class KindOfNotice:
    """One kind of what comes in.

    `heading` names it in a list, `words` in a sentence. `asks` is false of what answers a request or takes it back.
    `protects_a_person`: no text of such a notice is kept, and no picture of its work leaves the home. `lasts_by` is
    the law by which its erasure has no end. `is_countered`: a counter-notice can answer it. `goes_on`: a
    counter-notice against another request does not stop it. `lumen` is its type in the Lumen database; other kinds
    have this type, too, where `lumen_is_wider`. `reasons` is None where no statement of reasons is owed.
    """

    name: str
    heading: str
    words: str
    elements: tuple[Element, ...]
    asks: bool = True
    term: Term | None = None
    protects_a_person: bool = False
    lasts_by: str = ""
    is_countered: bool = False
    goes_on: bool = False
    lumen: str = ""
    lumen_is_wider: bool = False
    reasons: Reasons | None = None

    def missing(self, found: Collection[str]) -> tuple[Element, ...]:
        """Return the elements that such a notice must contain and that were not found, in the order of the law."""
        return tuple(element for element in self.elements if element.name not in found)
