"""What targets become: their wordings with the anchor in the target's place, or, where none is named, with any word.

An anchor that is not named may be the empty prompt, as published editors have it for things (for styles they name
`art`, for persons `person`, MACE always something), or the mean of what the encoder makes of other words in the
target's place (`default_anchor: mean`, as `scapre` has it). What all words have in common, that there is one at all and
where it stands, then has not to be undone: it is in the target and in the mean alike. So the change is smaller for as
much erased; `docs/method/choice-of-settings.md` has what was measured. The idea of moving a concept onto a class mean
is that of concept erasure in representations (LEACE, arXiv 2306.03819), here in a wording's every token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from expunge.engine.errors import ConceptError
from expunge.engine.text.encoded import Encoded
from expunge.engine.text.templates import Wording

WORDS = 16  # whose mean is taken


class Encoder(Protocol):
    """A text stream: `encode` gives the embeddings of wordings, `blocks` parts these into what fits in memory."""

    def encode(self, prompts: Sequence[Wording]) -> Encoded: ...

    def blocks(self, rows: Sequence[Wording]) -> list[Sequence[Wording]]: ...


class Anchors:
    """The anchors' wordings, each encoded once where all that are named fit in a block, else once a block.

    `words` [m], of one token each, are put into wordings without an anchor, which become the mean over them; without
    `words` such a wording is encoded as it is.
    """

    def __init__(self, encoder: Encoder, wordings: Sequence[Wording], words: Sequence[str] = ()) -> None:
        self.encoder, self.words = encoder, words
        self.means: dict[Wording, Encoded] = {}
        distinct = list(dict.fromkeys(wordings))
        self.held = self._encoded(distinct) if len(encoder.blocks(distinct)) == 1 else None

    def of(self, wordings: Sequence[Wording]) -> tuple[Encoded, list[int]]:
        """The anchors of a block, each once, and which of them each wording is."""
        encoded, places = self.held or self._encoded(list(dict.fromkeys(wordings)))
        return encoded, [places[wording] for wording in wordings]

    def _encoded(self, distinct: Sequence[Wording]) -> tuple[Encoded, dict[Wording, int]]:
        open_ = [wording for wording in distinct if self.words and wording.is_open]
        named = [wording for wording in distinct if wording not in open_]
        parts = [self.encoder.encode(named)] if named else []
        parts += [self._mean(wording) for wording in open_]
        return Encoded.joined(parts), {wording: place for place, wording in enumerate([*named, *open_])}

    def _mean(self, wording: Wording) -> Encoded:
        """One row: the mean, token by token, over those words that are one token in the wording's place: what follows a
        longer one stands elsewhere. ConceptError if there is none."""
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
