"""Encoded prompts: where the concept of each stands, and which tokens of two prompts correspond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

Span = tuple[int, int]


@dataclass(frozen=True)
class Encoded:
    """`embeddings` [n, T, d] float32; `spans` [n, 2] range of tokens; `lengths` [n] tokens before the padding.

    A span is the half-open range of the concept's tokens. An empty concept has an empty range at the place where it
    would stand. Where a stream has one state for the whole prompt (T = 1), that state is the concept's.
    """

    embeddings: Tensor
    spans: Tensor
    lengths: Tensor

    def take(self, places: Sequence[int]) -> Encoded:
        chosen = torch.tensor(places, dtype=torch.long)
        return Encoded(self.embeddings[chosen.to(self.embeddings.device)], self.spans[chosen], self.lengths[chosen])

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        return cls(*(torch.cat([getattr(part, own.name) for part in parts]) for own in fields(cls)))

    @property
    def subjects(self) -> Tensor:
        """Return the place of the last subject token of each prompt, [n].

        Where the concept is empty, it is the token before its place, if there is one.
        """
        return (self.spans[:, 1] - 1).clamp(min=0)

    def last(self) -> Tensor:
        """Return the embeddings [n, d] of the last subject tokens."""
        return self.embeddings[torch.arange(len(self.embeddings)), self.subjects]

    def chosen(self, tokens: str) -> Tensor:
        """Return a mask [n, T] of the tokens that the word `tokens` names.

        `all` names all tokens, `spoken` those before the padding, `tail` those from the last subject token on, and
        `last` that token alone.
        """
        place, last = torch.arange(self.embeddings.shape[1])[None], self.subjects[:, None]
        length = self.lengths[:, None]
        mask = {"all": place >= 0, "spoken": place < length, "tail": place >= last, "last": place == last}[tokens]
        return mask.expand(self.embeddings.shape[:2]).to(self.embeddings.device)


def partners(texts: Encoded, anchors: Encoded, beside: int = 0) -> Tensor:
    """Return for every token of `texts` the place of the token of `anchors` that corresponds to it, [n, T].

    Before the concept the places are the same. After it they are counted from the concept's end. The concept's own
    tokens correspond to the anchor's from the last one backwards. Where the anchor is empty, all of them correspond to
    the token that follows, or, with `beside` -1, to the one before. A place beyond the last token of the anchor's
    prompt becomes that last token.
    """
    return _places(texts, anchors, beside).clamp(0, texts.embeddings.shape[1] - 1)


def in_reach(texts: Encoded, anchors: Encoded) -> Tensor:
    """Return which tokens [n, T] of `texts` have a counterpart in `anchors`.

    Where a concept is shorter than its anchor, the last tokens have none.
    """
    return _places(texts, anchors) < texts.embeddings.shape[1]


def _places(texts: Encoded, anchors: Encoded, beside: int = 0) -> Tensor:
    (start, end), (first, past) = texts.spans.T[..., None], anchors.spans.T[..., None]
    place = torch.arange(texts.embeddings.shape[1])[None]
    within = torch.maximum(past - (end - place), first)
    within = torch.where(past > first, within, first + beside)
    return torch.where(place < start, place, torch.where(place < end, within, place - end + past))
