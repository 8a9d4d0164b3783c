"""From a specification to an editor's embeddings: concepts are worded, encoded in blocks and added up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors.base import EMPTY, ConceptEmbeddings, Moments, Rows, Settings, Tokens
from expunge.engine.errors import ConceptError
from expunge.engine.families import family_of
from expunge.engine.planning.anchors import WORDS, Anchors
from expunge.engine.planning.embedding_cache import WordStore, address
from expunge.engine.planning.token_blocks import Block, TokenList, spread
from expunge.engine.spec import EditSpec, Retain, Target
from expunge.engine.text.encoded import Encoded, in_reach, partners
from expunge.engine.text.encoding import encode, fitting
from expunge.engine.text.name_collisions import check_apart
from expunge.engine.text.templates import (
    Wording,
    in_company,
    in_sentences,
    kinship_of,
    phrasing,
    target_pairs,
    templates,
    worded,
)
from expunge.engine.text.typed_forms import spellings
from expunge.engine.text.vocabulary import general_words, random_sentences, sampled_words

BLOCK = 256  # prompts encoded and added up at a time, or fewer
SENTENCES = 3 / 8  # random sentences for each of `general_words`
COMPANY = 32  # things a kept style is worded with
NUMBERS = 2**25  # where their embeddings would be more numbers than these


def gather(
    pipeline: Any,
    spec: EditSpec,
    settings: Settings,
    stream: int = 0,
    like: ConceptEmbeddings | None = None,
    store: WordStore | None = None,
) -> ConceptEmbeddings:
    """Return the concepts of a specification as one text stream encodes them.

    Only one block of prompts is in memory at a time. Of each concept only its last subject tokens stay, unless the
    editor needs its tokens one by one.

    Args:
        pipeline: the model.
        spec: the specification.
        settings: those of the editor.
        stream: the number of the text stream.
        like: what was gathered before, with another default anchor and otherwise the same. What is kept is then not
            read again.
        store: where the model's own words may be, which are then not read again.
    Raises:
        ConceptError: there is no target, or a wording cannot be encoded.
    """
    if not spec.targets:
        raise ConceptError("there is no target; name at least one concept to erase")
    reader = Reader.of(pipeline, settings, stream)
    check_apart(pipeline, spec, stream, reader.typed(spec.targets))
    targets, subjects, neutral, concept, tokens = reader.targets(spec)
    if like is None:
        retain, lookalikes, kept = reader.all_kept(spec)
        general = reader.vocabulary(spec, store)
        empty = _from_first_heard(reader.empty.embeddings[0])
        return ConceptEmbeddings(targets, retain, general, subjects, neutral, concept, lookalikes, empty, tokens, kept)
    return replace(like, targets=targets, subjects=subjects, neutral=neutral, concept=concept, tokens=tokens)


def _from_first_heard(tokens: Tensor) -> Tensor:
    """Return tokens [T, d] without the zeros in front.

    They stand for the beginning of a chat, which a pipeline drops.
    """
    return tokens[int(tokens.any(1).int().argmax()) :]


def company_of(retain: Sequence[Retain]) -> tuple[str, ...]:
    """Return the kept things that kept styles are worded with, one name each.

    There are at most `COMPANY`, spread over all kept things.
    """
    things = [concept.names[0] for concept in retain if concept.category != "style"]
    return tuple(things[:: max(1, -(-len(things) // COMPANY))])


@dataclass(frozen=True)
class Reader:
    """The reading of wordings by one text stream, as an editor's settings have it; `empty` is the empty prompt."""

    pipeline: Any
    stream: int
    settings: Settings
    empty: Encoded

    @classmethod
    def of(cls, pipeline: Any, settings: Settings, stream: int) -> Reader:
        return cls(pipeline, stream, settings, encode(pipeline, [""], stream))

    def targets(self, spec: EditSpec) -> tuple[Moments, Tensor, Tensor, Tensor, Tokens | None]:
        """Return the moments of all targets and, one row a wording, subjects, their replacements and their targets.

        The last part holds the targets' tokens one by one, if the editor needs them.
        """
        moments, subjects, neutral, concept = self._none(), [], [], []
        tokens = TokenList(self.empty.embeddings[0]) if self.settings.one_by_one else None
        for block in self.target_blocks(spec):
            moments += block.moments()
            subjects.append(block.texts.last())
            neutral.append(block.neutral())
            concept.append(block.concept)
            if tokens:
                tokens.add(block)
        return moments, torch.cat(subjects), torch.cat(neutral), torch.cat(concept), tokens and tokens.whole()

    def target_blocks(self, spec: EditSpec) -> Iterator[Block]:
        """Yield every wording of every target in blocks, the target's weight of 1 spread over its wordings."""
        lines = phrasing(spec.erased, self.settings.bare)
        pairs = [
            target_pairs(target, self.settings.own_lines(target.category) or lines(target.category))
            for target in self.typed(spec.targets)
        ]
        rows = [(text, anchor, k, 1 / len(own)) for k, own in enumerate(pairs) for text, anchor in own]
        anchored = Anchors(self, [anchor for _, anchor, _, _ in rows], self.others(spec))
        beside = 0 if self.settings.tokens == "all" else -1
        for block in self.blocks(rows):
            texts = self.encode([text for text, _, _, _ in block])
            known, places = anchored.of([anchor for _, anchor, _, _ in block])
            anchors = known.take(places)
            partner = partners(texts, anchors, beside)
            partner = partner + torch.tensor(places)[:, None] * partner.shape[1]
            concept = torch.tensor([k for _, _, k, _ in block], device=texts.embeddings.device)
            chosen = texts.chosen(self.settings.tokens)
            if self.settings.tokens == "tail":
                chosen = chosen & in_reach(texts, anchors).to(chosen.device)
            yield Block(texts, chosen, known.embeddings, partner.to(chosen.device), concept, [w for *_, w in block])

    def all_kept(self, spec: EditSpec) -> tuple[Moments, Tensor, Rows | None]:
        """Return the moments of retained concepts, the look-alikes' last subject tokens, and the retained tokens.

        The look-alikes have one row a wording. The retained concepts' tokens are there if the editor needs them one by
        one.
        """
        names = spec.erased
        company = company_of(spec.retain)
        lookalikes = [kept for kept in spec.retain if kept.kind == "look_alike"]
        others = [kept for kept in spec.retain if kept.kind != "look_alike"]
        listed: list[Rows] | None = [] if self.settings.lists_kept else None
        near, last = self.kept(self.retained(lookalikes, names, company), self.settings.tokens, listed)
        far, _ = self.kept(self.retained(others, names, company), self.settings.tokens, listed)
        return near + far, last, None if listed is None else sum(listed, self._no_rows())

    def vocabulary(self, spec: EditSpec, store: WordStore | None) -> Moments:
        """Return the moments of the model's own words, in templates and in random sentences.

        They come from the store if they are there.
        """
        words = general_words(self.tokenizer, spec.erased, self.settings.general_words, spec.seed)
        weighted = _general(self.in_turn(words)) + self.random_sentences(spec)
        tokens, empty = self.settings.general_tokens, self.empty.embeddings[0]
        if store is None or not weighted:
            return self.kept(weighted, tokens)[0]
        key = address(self.pipeline, self.stream, empty, tokens, weighted)
        return store.moments(key, empty, lambda: self.kept(weighted, tokens)[0])

    def random_sentences(self, spec: EditSpec) -> list[tuple[Wording, float]]:
        """Return random sentences of the model's own words, whose weights add up to what the settings say."""
        if not self.settings.sentences:
            return []
        count = self.settings.general_words
        texts = random_sentences(self.tokenizer, spec.erased, count, round(SENTENCES * count), spec.seed)
        fit = fitting(self.pipeline, [Wording(text, (0, len(text))) for text in texts], self.stream)
        return [(text, self.settings.sentences / len(fit)) for text in fit]

    def kept(
        self, weighted: Sequence[tuple[Wording, float]], tokens: str, listed: list[Rows] | None = None
    ) -> tuple[Moments, Tensor]:
        """Return the moments of wordings that stay as they are, and their last subject tokens, one row a wording.

        Their tokens are added to the list, if there is one.
        """
        moments, last = self._none(), [self.empty.last()[:0]]
        for block in self.blocks(weighted):
            texts = self.encode([text for text, _ in block])
            chosen = texts.chosen(tokens)
            rows = Rows(texts.embeddings[chosen], spread([weight for _, weight in block], chosen))
            moments += Moments.of(rows.x, weights=rows.weight)
            last.append(texts.last())
            if listed is not None:
                listed.append(rows)
        return moments, torch.cat(last)

    def others(self, spec: EditSpec) -> list[str]:
        """Return words whose mean stands in for anchors that are not named.

        There are none if the empty prompt stands in for them, or if all anchors are named.

        Raises:
            ConceptError: the vocabulary has no such word.
        """
        if self.settings.default_anchor == EMPTY or all(target.anchor for target in spec.targets):
            return []
        if not (words := sampled_words(self.tokenizer, spec.erased, WORDS, spec.seed)):
            cure = "name an anchor, or let default_anchor be 'empty'"
            raise ConceptError(
                f"default_anchor is 'mean', and the vocabulary has no whole word that names no target; {cure}"
            )
        return words

    @property
    def tokenizer(self) -> Any:
        return family_of(self.pipeline).tokenizers(self.pipeline, self.stream)[0]

    def encode(self, prompts: Sequence[Wording]) -> Encoded:
        return encode(self.pipeline, prompts, self.stream)

    def retained(
        self, concepts: Sequence[Retain], erased: Sequence[str], company: Sequence[str]
    ) -> list[tuple[Wording, float]]:
        """Return the wordings of retained concepts with their weights.

        Args:
            concepts: the retained concepts.
            erased: the names that are erased.
            company: the things that styles are kept with.
        """
        weighted, is_kin, lines = [], kinship_of(erased), phrasing(erased, self.settings.bare)
        for concept in concepts:
            names = self.as_typed(concept.names)
            own = worded(names, lines(concept.category))
            if concept.category == "style" and not self.settings.bare:
                own += in_company(names, company)
            whole = self.settings.kin if is_kin((*concept.names, *concept.kin)) else 1.0
            weighted += [(text, whole / len(own)) for text in own]
            spoken = self.in_sentences(names, concept.category, erased)
            weighted += [(text, whole / len(spoken)) for text in spoken]
        return weighted

    def in_sentences(self, names: Sequence[str], category: str, erased: Sequence[str]) -> list[Wording]:
        """Return whole sentences with the names, if the settings ask for them, no longer than the encoder reads."""
        texts = in_sentences(names, category, erased) if self.settings.sentences else []
        return fitting(self.pipeline, texts, self.stream)

    def typed(self, targets: Sequence[Target]) -> tuple[Target, ...]:
        """Return the targets with all spellings of their names that are erased."""
        return tuple(replace(target, names=self.as_typed(target.names)) for target in targets)

    def as_typed(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return each name in all forms that people type and the encoder reads as other words.

        With `bare`, as in published editors' wordings, it is the name alone.
        """
        return tuple(names) if self.settings.bare else spellings(self.pipeline, names, self.stream)

    def in_turn(self, words: Sequence[str]) -> list[str]:
        """Return the words, every other one with a capital in front, if the encoder reads that as another word.

        What capitals have in common belongs to no target either.
        """
        typed, known = list(words), set(spellings(self.pipeline, words[1::2], self.stream)) if words[1:] else ()
        typed[1::2] = [word.capitalize() if word.capitalize() in known else word for word in words[1::2]]
        return typed

    def _none(self) -> Moments:
        one = self.empty.embeddings
        return Moments.zero(one.shape[-1], one.device)

    def _no_rows(self) -> Rows:
        none = self.empty.last()[:0]
        return Rows(none, none.new_zeros(0, dtype=torch.float64))

    def blocks(self, rows: Sequence[Any]) -> list[Sequence[Any]]:
        size = max(1, min(BLOCK, NUMBERS // self.empty.embeddings.numel()))
        return [rows[start : start + size] for start in range(0, len(rows), size)]


def _general(vocabulary: Sequence[str]) -> list[tuple[Wording, float]]:
    """Return the vocabulary's words in a few templates, and the empty prompt, on which all guidance relies."""
    if not vocabulary:
        return []
    texts = [Wording("", (0, 0)), *worded(vocabulary, templates("general"))]
    return [(text, 1 / len(texts)) for text in texts]
