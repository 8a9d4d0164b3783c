"""Anchors: a target's wordings with its anchor in its place or, where none is named, with any word.

Where no anchor is named, it may be the empty prompt. Published editors use it for things; for styles they name `art`,
for persons `person`, and MACE always names something. Or it may be the mean of what the encoder makes of other words in
the target's place (`default_anchor: mean`, as `scapre` has it). All words have something in common: that there is one
at all, and where it stands. This is in the target and in the mean alike, so it need not be undone, and the change is
smaller for as much erased. `docs/method/choice-of-settings.md` has what was measured. The idea of moving a concept onto
a class mean is that of concept erasure in representations (LEACE, arXiv 2306.03819), here for every token of a wording.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from expunge.engine.errors import ConceptError
from expunge.engine.text.encoded import Encoded
from expunge.engine.text.templates import Wording

WORDS = 16  # whose mean is taken


class Encoder(Protocol):
    """A text stream: `encode` gives the embeddings of wordings, `blocks` divides these into what fits in memory."""

    def encode(self, prompts: Sequence[Wording]) -> Encoded: ...

    def blocks(self, rows: Sequence[Wording]) -> list[Sequence[Wording]]: ...


class Anchors:
    """The anchors' wordings, each encoded once where all named ones fit in a block, else once a block.

    `words` [m], of one token each, are put into wordings without an anchor, which become the mean over them. Without
    `words` such a wording is encoded as it is.
    """

    def __init__(self, encoder: Encoder, wordings: Sequence[Wording], words: Sequence[str] = ()) -> None:
        self.encoder, self.words = encoder, words
        self.means: dict[Wording, Encoded] = {}
        distinct = list(dict.fromkeys(wordings))
        self.held = self._encoded(distinct) if len(encoder.blocks(distinct)) == 1 else None

    def of(self, wordings: Sequence[Wording]) -> tuple[Encoded, list[int]]:
        """Return the anchors of a block, each once, and for each wording the place of its anchor among them."""
        encoded, places = self.held or self._encoded(list(dict.fromkeys(wordings)))
        return encoded, [places[wording] for wording in wordings]

    def _encoded(self, distinct: Sequence[Wording]) -> tuple[Encoded, dict[Wording, int]]:
        open_ = [wording for wording in distinct if self.words and wording.is_open]
        named = [wording for wording in distinct if wording not in open_]
        parts = [self.encoder.encode(named)] if named else []
        parts += [self._mean(wording) for wording in open_]
        return Encoded.joined(parts), {wording: place for place, wording in enumerate([*named, *open_])}

    def _mean(self, wording: Wording) -> Encoded:
        """Return one row: the mean, token by token, over the words that are one token in the wording's place.

        A longer word is left out, because what follows it stands elsewhere.

        Raises:
            ConceptError: no word is one token.
        """
        if wording not in self.means:
            filled = [wording.filled(word) for word in self.words]
            read = Encoded.joined([self.encoder.encode(block) for block in self.encoder.blocks(filled)])
            alike = (read.spans[:, 1] - read.spans[:, 0] == 1).nonzero()[:, 0].tolist()
            if not alike:
                raise ConceptError(f"none of {', '.join(self.words)} is one token to the encoder; name an anchor")
            single = read.take(alike)
            total = single.embeddings.double().sum(0, keepdim=True)
            self.means[wording] = Encoded((total / len(alike)).float(), single.spans[:1], single.lengths[:1])
        return self.means[wording]
