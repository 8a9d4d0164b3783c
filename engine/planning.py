"""From a specification to the embeddings an editor works on: word the concepts, encode them in blocks, add them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.editors.base import ConceptEmbeddings, Moments, Settings
from engine.errors import ConceptError
from engine.families import family_of
from engine.spec import EditSpec, Retain
from engine.text import counterparts, encode
from engine.vocabulary import general_words
from engine.wordings import Wording, fill, target_pairs, worded

BLOCK = 256


def gather(pipeline: Any, spec: EditSpec, settings: Settings, stream: int = 0) -> ConceptEmbeddings:
    """The concepts of a specification as one text stream sees them. ConceptError if a wording cannot be encoded."""
    if not spec.targets:
        raise ConceptError("there is no target; name at least one concept to erase")
    names = [name for target in spec.targets for name in target.names]
    tokenizer = family_of(pipeline).tokenizer(pipeline, stream)
    vocabulary = general_words(tokenizer, names, settings.general_words, spec.seed)
    reader = _Reader(pipeline, stream, settings)
    targets, subjects, neutral, concept = reader.targets(spec)
    lookalikes = [kept for kept in spec.retain if kept.kind == "look_alike"]
    others = [kept for kept in spec.retain if kept.kind != "look_alike"]
    near, rows = reader.kept(reader.retained(lookalikes))
    far, _ = reader.kept(reader.retained(others))
    general, _ = reader.kept(_general(vocabulary))
    empty = encode(pipeline, [""], stream).embeddings[0]
    return ConceptEmbeddings(targets, near + far, general, subjects, neutral, concept, rows, empty)


@dataclass(frozen=True)
class _Reader:
    pipeline: Any
    stream: int
    settings: Settings

    def targets(self, spec: EditSpec) -> tuple[Moments, Tensor, Tensor, Tensor]:
        """Moments of all targets; then, one row a wording, their subjects, what replaces these, and whose they are."""
        pairs = [target_pairs(target, self.settings.bare) for target in spec.targets]
        rows = [(text, anchor, k, 1 / len(own)) for k, own in enumerate(pairs) for text, anchor in own]
        places = {anchor: place for place, anchor in enumerate(dict.fromkeys(anchor for _, anchor, _, _ in rows))}
        encoded = encode(self.pipeline, list(places), self.stream)
        moments, subjects, neutral = Moments.zero(encoded.embeddings.shape[-1], encoded.embeddings.device), [], []
        for block in _blocks(rows):
            texts = encode(self.pipeline, [text for text, _, _, _ in block], self.stream)
            anchors = encoded.take([places[anchor] for _, anchor, _, _ in block])
            y = counterparts(texts, anchors, beside=-1 if self.settings.tokens == "last" else 0)
            chosen = texts.chosen(self.settings.tokens)
            moments += Moments.of(texts.embeddings[chosen], y[chosen], _spread([w for _, _, _, w in block], chosen))
            subjects.append(texts.last())
            neutral.append(y[torch.arange(len(y)), texts.spans[:, 1] - 1])
        concept = torch.tensor([k for _, _, k, _ in rows], device=encoded.embeddings.device)
        return moments, torch.cat(subjects), torch.cat(neutral), concept

    def kept(self, weighted: Sequence[tuple[Wording, float]]) -> tuple[Moments, Tensor]:
        """Moments of wordings that stay what they are, and their last subject tokens, one row a wording."""
        empty = encode(self.pipeline, [""], self.stream)
        moments, rows = Moments.zero(empty.embeddings.shape[-1], empty.embeddings.device), [empty.last()[:0]]
        for block in _blocks(weighted):
            texts = encode(self.pipeline, [text for text, _ in block], self.stream)
            chosen = texts.chosen(self.settings.tokens)
            moments += Moments.of(texts.embeddings[chosen], weights=_spread([weight for _, weight in block], chosen))
            rows.append(texts.last())
        return moments, torch.cat(rows)

    def retained(self, concepts: Sequence[Retain]) -> list[tuple[Wording, float]]:
        return [(text, 1 / len(own)) for concept in concepts for own in [self._wordings(concept)] for text in own]

    def _wordings(self, concept: Retain) -> list[Wording]:
        if self.settings.bare:
            return [fill("{}", name) for name in concept.names]
        return worded(concept.names, concept.category)


def _general(vocabulary: Sequence[str]) -> list[tuple[Wording, float]]:
    """The vocabulary's words in a few templates, and the empty prompt, on which all guidance leans."""
    if not vocabulary:
        return []
    texts = [Wording("", (0, 0)), *worded(vocabulary, "general")]
    return [(text, 1 / len(texts)) for text in texts]


def _blocks(rows: Sequence[Any]) -> list[Sequence[Any]]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


def _spread(weights: Sequence[float], chosen: Tensor) -> Tensor:
    """Each prompt's weight for each of its chosen tokens, flat in the order in which `chosen` picks them."""
    return torch.tensor(weights, dtype=torch.float64, device=chosen.device)[:, None].expand(chosen.shape)[chosen]
