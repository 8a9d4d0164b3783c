"""Encoded prompts, where their concept stands in them, and which tokens of two prompts stand in each other's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

Span = tuple[int, int]


@dataclass(frozen=True)
class Encoded:
    """`embeddings` [n, T, d] float32; `spans` [n, 2] token range; `lengths` [n] tokens before the padding.

    A span is the half-open range of the concept's tokens; where the concept is empty it is the place it would have.
    Where a stream has one state for the whole prompt (T = 1), that state is the concept's.
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
        """[n]: the last subject token; where the concept is empty the token before its place, if there is one."""
        return (self.spans[:, 1] - 1).clamp(min=0)

    def last(self) -> Tensor:
        """Embeddings [n, d] of the last subject tokens."""
        return self.embeddings[torch.arange(len(self.embeddings)), self.subjects]

    def chosen(self, tokens: str) -> Tensor:
        """Which tokens [n, T] are meant by `all`, `spoken` (before padding), `tail` (from the last subject token on)
        or `last` (it alone)."""
        place, last = torch.arange(self.embeddings.shape[1])[None], self.subjects[:, None]
        length = self.lengths[:, None]
        mask = {"all": place >= 0, "spoken": place < length, "tail": place >= last, "last": place == last}[tokens]
        return mask.expand(self.embeddings.shape[:2]).to(self.embeddings.device)


def partners(texts: Encoded, anchors: Encoded, beside: int = 0) -> Tensor:
    """For every token of `texts`, which token of `anchors` stands in its place, [n, T].

    Before the concept the places are the same; after it they are counted from the concept's end; the concept's own
    tokens meet the anchor's from the last backwards. Where the anchor is empty they all meet the token that follows,
    or, with `beside` -1, the one before. What would come after the anchor's last token meets that.
    """
    return _places(texts, anchors, beside).clamp(0, texts.embeddings.shape[1] - 1)


def in_reach(texts: Encoded, anchors: Encoded) -> Tensor:
    """Which tokens [n, T] of `texts` have a place in `anchors`: where a concept is shorter, the last ones have none."""
    return _places(texts, anchors) < texts.embeddings.shape[1]


def _places(texts: Encoded, anchors: Encoded, beside: int = 0) -> Tensor:
    (start, end), (first, past) = texts.spans.T[..., None], anchors.spans.T[..., None]
    place = torch.arange(texts.embeddings.shape[1])[None]
    within = torch.maximum(past - (end - place), first)
    within = torch.where(past > first, within, first + beside)
    return torch.where(place < start, place, torch.where(place < end, within, place - end + past))
