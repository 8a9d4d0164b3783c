"""From a specification to the embeddings an editor works on: word the concepts, encode them in blocks, add them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.editors.base import ConceptEmbeddings, Moments, Settings, Tokens
from engine.errors import ConceptError
from engine.families import family_of
from engine.spec import EditSpec, Retain
from engine.text import Encoded, counterparts, encode, partners
from engine.vocabulary import general_words
from engine.wordings import Wording, fill, target_pairs, worded

BLOCK = 256  # prompts encoded and added up at a time, or fewer
NUMBERS = 2**25  # where their embeddings would be more numbers than these


def gather(pipeline: Any, spec: EditSpec, settings: Settings, stream: int = 0) -> ConceptEmbeddings:
    """The concepts of a specification as one text stream sees them. ConceptError if a wording cannot be encoded.

    Only one block of prompts is in memory at a time, and of each concept no more than its last subject tokens stay,
    unless the editor wants its tokens one by one.
    """
    if not spec.targets:
        raise ConceptError("there is no target; name at least one concept to erase")
    names = [name for target in spec.targets for name in target.names]
    tokenizer = family_of(pipeline).tokenizer(pipeline, stream)
    vocabulary = general_words(tokenizer, names, settings.general_words, spec.seed)
    reader = _Reader(pipeline, stream, settings, encode(pipeline, [""], stream))
    targets, subjects, neutral, concept, tokens = reader.targets(spec)
    lookalikes = [kept for kept in spec.retain if kept.kind == "look_alike"]
    others = [kept for kept in spec.retain if kept.kind != "look_alike"]
    near, rows = reader.kept(reader.retained(lookalikes))
    far, _ = reader.kept(reader.retained(others))
    general, _ = reader.kept(_general(vocabulary))
    empty = reader.empty.embeddings[0]
    return ConceptEmbeddings(targets, near + far, general, subjects, neutral, concept, rows, empty, tokens)


@dataclass(frozen=True)
class _Reader:
    pipeline: Any
    stream: int
    settings: Settings
    empty: Encoded

    def targets(self, spec: EditSpec) -> tuple[Moments, Tensor, Tensor, Tensor, Tokens | None]:
        """Moments of all targets; then, one row a wording, their subjects, what replaces these, and whose they are."""
        pairs = [target_pairs(target, self.settings.bare) for target in spec.targets]
        rows = [(text, anchor, k, 1 / len(own)) for k, own in enumerate(pairs) for text, anchor in own]
        anchored = _Anchors(self, [anchor for _, anchor, _, _ in rows])
        moments, subjects, neutral = self._none(), [], []
        tokens = _TokenList(len(rows), self.empty.embeddings[0]) if self.settings.one_by_one else None
        for block in self.blocks(rows):
            texts = self.encode([text for text, _, _, _ in block])
            known, places = anchored.of([anchor for _, anchor, _, _ in block])
            anchors = known.take(places)
            beside = 0 if self.settings.tokens == "all" else -1
            y = counterparts(texts, anchors, beside)
            chosen = texts.chosen(self.settings.tokens)
            moments += Moments.of(texts.embeddings[chosen], y[chosen], _spread([w for _, _, _, w in block], chosen))
            subjects.append(texts.last())
            neutral.append(y[torch.arange(len(y)), texts.spans[:, 1] - 1])
            if tokens:
                tokens.add(texts.embeddings, chosen, known.embeddings, places, partners(texts, anchors, beside))
        concept = torch.tensor([k for _, _, k, _ in rows], device=moments.gram.device)
        return moments, torch.cat(subjects), torch.cat(neutral), concept, tokens and tokens.whole()

    def kept(self, weighted: Sequence[tuple[Wording, float]]) -> tuple[Moments, Tensor]:
        """Moments of wordings that stay what they are, and their last subject tokens, one row a wording."""
        moments, rows = self._none(), [self.empty.last()[:0]]
        for block in self.blocks(weighted):
            texts = self.encode([text for text, _ in block])
            chosen = texts.chosen(self.settings.tokens)
            moments += Moments.of(texts.embeddings[chosen], weights=_spread([weight for _, weight in block], chosen))
            rows.append(texts.last())
        return moments, torch.cat(rows)

    def encode(self, prompts: Sequence[Wording]) -> Encoded:
        return encode(self.pipeline, prompts, self.stream)

    def retained(self, concepts: Sequence[Retain]) -> list[tuple[Wording, float]]:
        return [(text, 1 / len(own)) for concept in concepts for own in [self._wordings(concept)] for text in own]

    def _wordings(self, concept: Retain) -> list[Wording]:
        if self.settings.bare:
            return [fill("{}", name) for name in concept.names]
        return worded(concept.names, concept.category)

    def _none(self) -> Moments:
        one = self.empty.embeddings
        return Moments.zero(one.shape[-1], one.device)

    def blocks(self, rows: Sequence[Any]) -> list[Sequence[Any]]:
        size = max(1, min(BLOCK, NUMBERS // self.empty.embeddings.numel()))
        return [rows[start : start + size] for start in range(0, len(rows), size)]


class _Anchors:
    """What targets become, each wording encoded once where they all fit in a block, else once a block."""

    def __init__(self, reader: _Reader, wordings: Sequence[Wording]) -> None:
        self.reader = reader
        distinct = list(dict.fromkeys(wordings))
        self.held = self._encoded(distinct) if len(reader.blocks(distinct)) == 1 else None

    def of(self, wordings: Sequence[Wording]) -> tuple[Encoded, list[int]]:
        """The anchors of a block, each once, and which of them each wording is."""
        encoded, places = self.held or self._encoded(list(dict.fromkeys(wordings)))
        return encoded, [places[wording] for wording in wordings]

    def _encoded(self, distinct: Sequence[Wording]) -> tuple[Encoded, dict[Wording, int]]:
        return self.reader.encode(distinct), {wording: place for place, wording in enumerate(distinct)}


class _TokenList:
    """`Tokens` block by block, written where they stay, so that they are never in memory twice."""

    def __init__(self, wordings: int, like: Tensor) -> None:
        self.x = like.new_empty(wordings * len(like), like.shape[-1])
        self.wording, self.partner, self.anchors = [], [], []
        self.filled = self.wordings = self.known = 0

    def add(self, texts: Tensor, chosen: Tensor, known: Tensor, places: Sequence[int], partner: Tensor) -> None:
        """Of `texts` [n, T, d] the `chosen` [n, T]; they become tokens `partner` [n, T] of rows `places` of `known`."""
        found = texts[chosen]
        self.x[self.filled : self.filled + len(found)] = found
        self.filled += len(found)
        self.wording.append(chosen.nonzero()[:, 0] + self.wordings)
        self.wordings += len(texts)
        if not self.anchors or self.anchors[-1] is not known:
            self.known = sum(table[..., 0].numel() for table in self.anchors)
            self.anchors.append(known)
        flat = torch.tensor(places)[:, None] * known.shape[1] + partner
        self.partner.append(flat.to(chosen.device)[chosen] + self.known)

    def whole(self) -> Tokens:
        anchors = torch.cat([table.flatten(0, 1) for table in self.anchors])
        return Tokens(self.x[: self.filled], torch.cat(self.wording), anchors, torch.cat(self.partner))


def _general(vocabulary: Sequence[str]) -> list[tuple[Wording, float]]:
    """The vocabulary's words in a few templates, and the empty prompt, on which all guidance leans."""
    if not vocabulary:
        return []
    texts = [Wording("", (0, 0)), *worded(vocabulary, "general")]
    return [(text, 1 / len(texts)) for text in texts]


def _spread(weights: Sequence[float], chosen: Tensor) -> Tensor:
    """Each prompt's weight for each of its chosen tokens, flat in the order in which `chosen` picks them."""
    return torch.tensor(weights, dtype=torch.float64, device=chosen.device)[:, None].expand(chosen.shape)[chosen]
