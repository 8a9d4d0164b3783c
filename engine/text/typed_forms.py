"""The forms in which people type a name, where a model's text encoders read them as other words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from expunge.engine.errors import MissingExtra
from expunge.engine.families import Family, family_of

KEYBOARD = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")  # from a printer's quotes and apostrophe


def spellings(pipeline: Any, names: Sequence[str], stream: int = 0) -> tuple[str, ...]:
    """Return the names as they are, and other forms in which people type them that the encoder reads as other words.

    The forms are small letters, initial capitals, and all capitals, which differ to a T5 and are the same to a CLIP.
    They also have a keyboard's quotes and apostrophes in place of a printer's, or the other way round, which differ to
    both.
    """
    family = family_of(pipeline)
    typed = dict.fromkeys(form for name in names for form in _typed(name))
    forms = [form for form in typed if form in names or _stays(family, form)]
    tokenizer = family.tokenizers(pipeline, stream)[0]
    found, seen = [], set()
    for form, ids in zip(forms, map(tuple, tokenizer(forms, add_special_tokens=False).input_ids), strict=True):
        if form in names or (ids not in seen and tokenizer.unk_token_id not in ids):
            found.append(form)
        seen.add(ids)
    return tuple(found)


def other_spellings(pipeline: Any, name: str) -> tuple[str, ...]:
    """Return the name in other capitals and quotes, where any of the model's encoders reads it as other words."""
    streams = range(family_of(pipeline).streams)
    return tuple(dict.fromkeys(form for stream in streams for form in spellings(pipeline, [name], stream)[1:]))


def _typed(name: str) -> Iterator[str]:
    printed = re.sub('"([^"]*)"', "\N{LEFT DOUBLE QUOTATION MARK}\\1\N{RIGHT DOUBLE QUOTATION MARK}", name)
    for quoted in (name, name.translate(KEYBOARD), printed.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")):
        yield quoted
        yield quoted.lower()
        yield " ".join(word[:1].upper() + word[1:] for word in quoted.split(" "))
        yield quoted.upper()


def _stays(family: Family, text: str) -> bool:
    """Return whether the pipeline reads the text unchanged."""
    try:
        return family.cleaned(text) == text
    except MissingExtra:
        return False
