"""A block of encoded wordings of targets: which tokens are edited, what each becomes and how much it weighs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from expunge.engine.editors.base import Moments, Tokens
from expunge.engine.text.encoded import Encoded


@dataclass(frozen=True)
class Block:
    """n encoded wordings of targets (`texts`), T tokens each.

    `chosen` [n, T] says which tokens are edited. `known` [a, T, d] are the tokens of anchors, and `partner` [n, T] is
    the place in `known.flatten(0, 1)` of what each token becomes. `concept` [n] is the target of each wording, `shares`
    its weight within the target.
    """

    texts: Encoded
    chosen: Tensor
    known: Tensor
    partner: Tensor
    concept: Tensor
    shares: Sequence[float]

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return the chosen tokens and what they become, both [rows, d]."""
        return self.texts.embeddings[self.chosen], self.known.flatten(0, 1)[self.partner[self.chosen]]

    def neutral(self) -> Tensor:
        """Return what the last subject tokens become, [n, d]."""
        last = self.partner[torch.arange(len(self.partner)), self.texts.spans[:, 1] - 1]
        return self.known.flatten(0, 1)[last]

    def moments(self, strengths: Tensor | None = None) -> Moments:
        """Return the moments of the chosen tokens, with their shares multiplied by `strengths` [targets] if any."""
        weights = self.weights() if strengths is None else self.weights() * strengths[self.owners()]
        used, partner = self.partner[self.chosen].unique(return_inverse=True)
        return Moments.shared(self.texts.embeddings[self.chosen], self.known.flatten(0, 1)[used], partner, weights)

    def weights(self) -> Tensor:
        """Return the weight of each chosen token, [rows]."""
        return spread(self.shares, self.chosen)

    def owners(self) -> Tensor:
        """Return the target of each chosen token, [rows]."""
        return self.concept[:, None].expand(self.chosen.shape)[self.chosen]


class TokenList:
    """`Tokens`, collected block by block."""

    def __init__(self, like: Tensor) -> None:
        self.x, self.wording, self.partner, self.anchors = [like[:0]], [], [], [like[:0]]
        self.wordings = 0

    def add(self, block: Block) -> None:
        if self.anchors[-1].data_ptr() != block.known.data_ptr():
            self.anchors.append(block.known.flatten(0, 1))
        known = sum(len(table) for table in self.anchors[:-1])
        self.x.append(block.texts.embeddings[block.chosen])
        self.wording.append(block.chosen.nonzero()[:, 0] + self.wordings)
        self.partner.append(block.partner[block.chosen] + known)
        self.wordings += len(block.chosen)

    def whole(self) -> Tokens:
        return Tokens(*(_joined(parts) for parts in (self.x, self.wording, self.anchors, self.partner)))


def _joined(parts: list[Tensor]) -> Tensor:
    """Return what `torch.cat` does, and free each part as soon as it is copied."""
    whole = parts[0].new_empty(sum(len(part) for part in parts), *parts[0].shape[1:])
    filled = 0
    while parts:
        part = parts.pop(0)
        whole[filled : filled + len(part)] = part
        filled += len(part)
    return whole


def spread(weights: Sequence[float], chosen: Tensor) -> Tensor:
    """Return each prompt's weight for each of its chosen tokens, flat in the order in which `chosen` picks them."""
    return torch.tensor(weights, dtype=torch.float64, device=chosen.device)[:, None].expand(chosen.shape)[chosen]
