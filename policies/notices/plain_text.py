"""Find the elements of a notice in plain text. Only what the sender says plainly counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from expunge.policies.kinds import KINDS, NoticeKind
from expunge.policies.kinds.kind import Element
from expunge.policies.notices.notice import MAIL_ADDRESS, is_filled, kept_text

LABELLED = re.compile(r"[\s\d.()*-]*(?P<label>[A-Za-z][A-Za-z -]{1,40}?)\s*:\s*(?P<value>\S.*)")
SIGNATURE = re.compile(r"\s*/s/\s*(?P<name>\w.*)")
QUOTED = re.compile(r"\s*(>|\|)")
FORWARDED = re.compile(r"-{2,}\s*(original|forwarded) message|on .{5,100} wrote:\s*$", re.IGNORECASE)
OPENING = re.compile(r"[\W\d_]*(i|we|the undersigned|under (the )?penalty of perjury,? (i|we))\b", re.IGNORECASE)
ALLOWED_NO = re.compile(r"\bnot (been )?(authori[sz]ed|consensual)\b", re.IGNORECASE)
DENIAL = re.compile(
    r"\b(not|no|never|cannot|neither|nor|without|unless|if|whether|doubt|refuse|decline|fail|deny|unable)\b|n't\b",
    re.IGNORECASE,
)
CONSENT = re.compile(r"\bwithout (my|the person's) consent\b", re.IGNORECASE)


def own_text(text: str) -> str:
    """Return what the sender wrote: no quoted lines, and nothing from a forwarded message on."""
    lines = []
    for line in unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("’", "'").split("\n"):
        if FORWARDED.match(line.strip()):
            break
        if not QUOTED.match(line):
            lines.append(line)
    return "\n".join(lines)


def find_elements(text: str, kind: NoticeKind) -> dict[str, str]:
    """Return by name the elements of this kind that the text states, each as the record keeps it."""
    labels, sentences = labelled(text), list(_sentences(text))
    found = {}
    for element in KINDS[kind].elements:
        value = _value(element, labels, sentences)
        if value:
            found[element.name] = kept_text(kind, element.name, value)
    if "contact" not in found and MAIL_ADDRESS.search(text):
        found |= {element.name: "stated" for element in KINDS[kind].elements if element.name == "contact"}
    return found


def labelled(text: str) -> dict[str, str]:
    """Return the values of lines such as `Copyrighted work: The Blue Heron`, by label in small letters.

    A label that is there twice with different values is unclear, so it is left out.
    """
    values: dict[str, set[str]] = {}
    for line in text.split("\n"):
        if (found := LABELLED.fullmatch(line.rstrip())) and is_filled(found["value"]):
            values.setdefault(found["label"].lower(), set()).add(found["value"].strip())
        if (found := SIGNATURE.fullmatch(line.rstrip())) and is_filled(found["name"]):
            values.setdefault("signature", set()).add(found["name"].strip())
    return {label: next(iter(said)) for label, said in values.items() if len(said) == 1}


def _value(element: Element, labels: dict[str, str], sentences: list[str]) -> str:
    if element.statement:
        return next((one for one in sentences if _states(one, element)), "")
    said = list(dict.fromkeys(labels[label] for label in element.labels if label in labels))
    return said[0] if said else ""


def _states(sentence: str, element: Element) -> bool:
    """Return whether a sentence affirms the statement in the sender's own name."""
    denied = DENIAL.search(CONSENT.sub(" ", ALLOWED_NO.sub(" ", sentence)))
    if denied or not OPENING.match(sentence) or re.search(r"[\[\]_]", sentence):
        return False
    return all(re.search(phrase, sentence, re.IGNORECASE) for phrase in element.statement)


def _sentences(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:\d+[.)]|[-*])\s)", text):
        yield from re.split(r"(?<=[.!?])\s+(?=[A-Z(])", " ".join(paragraph.split()))
