"""The model's own words, which are kept although no policy lists them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

WHOLE_WORD = re.compile(r"(?:[▁Ġ](?P<piece>[A-Za-z]{3,})|(?P<pair>[^\W\d_]{3,})</w>)")

LONGEST = 8  # words of a random sentence: short enough for any encoder, long enough to set a word beside many others


def words(tokenizer: Any) -> list[str]:
    """Return the whole words in small letters that are one token of the vocabulary, sorted.

    A vocabulary is that of a CLIP (`word</w>`), of sentence pieces (`▁word`) or of bytes (`Ġword`). A word with a
    capital is left out, because in small letters it may be several tokens.

    All but CLIP's hold words of many languages, and templates are English. So only their words in English letters are
    taken.
    """
    matches = (WHOLE_WORD.fullmatch(token) for token in tokenizer.get_vocab())
    found = {match["piece"] or match["pair"] for match in matches if match}
    return sorted(word for word in found if word == word.lower())


def general_words(tokenizer: Any, names: Iterable[str], count: int, seed: int) -> list[str]:
    """Return at most `count` of the tokenizer's words, by `seed`, without those in `names` and their plurals in -s.

    Each word has its turn whatever the names are. So other names change no more than the words that they contain.
    """
    said = _said(names)
    return sorted([word for word in _in_turn(tokenizer, seed) if word not in said][:count])


def random_sentences(tokenizer: Any, names: Iterable[str], words_count: int, count: int, seed: int) -> list[str]:
    """Return at most `count` rows of random words, without those in `names`.

    Each row has 2 to `LONGEST` of the first `words_count` words in turn, before the names are taken out. The rows stand
    for whatever else a prompt may say. So a word is kept beside any other word, and not in a few wordings only.
    """
    pool, order, said = _in_turn(tokenizer, seed)[:words_count], random.Random(f"sentences/{seed}"), _said(names)
    rows = [order.choices(pool, k=order.randint(2, LONGEST)) for _ in range(count if pool else 0)]
    return [text for row in rows if (text := " ".join(word for word in row if word not in said))]


def sampled_words(tokenizer: Any, names: Iterable[str], count: int, seed: int) -> list[str]:
    """Return at most `count` words, like those of `general_words`, as a sample for these names alone."""
    said = _said(names)
    pool = [word for word in words(tokenizer) if word not in said]
    return sorted(random.Random(f"general words/{seed}").sample(pool, min(count, len(pool))))


def _in_turn(tokenizer: Any, seed: int) -> list[str]:
    """Return all whole words of the tokenizer in an order by `seed`."""
    turns = words(tokenizer)
    random.Random(f"general words in turn/{seed}").shuffle(turns)
    return turns


def _said(names: Iterable[str]) -> set[str]:
    """Return the words in the names, and those that differ from one of them by a plural in -s alone."""
    said = {piece for name in names for piece in re.findall(r"[^\W\d_]+", name.lower())}
    return said | {piece + end for piece in said for end in ("s", "es")} | {piece.removesuffix("s") for piece in said}
