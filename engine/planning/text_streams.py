"""The text streams that feed a projection: the concepts of each are gathered once and concatenated."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from expunge.engine.editors import ConceptEmbeddings, Settings
from expunge.engine.planning.concept_embeddings import gather
from expunge.engine.planning.embedding_cache import WordStore
from expunge.engine.spec import EditSpec


def gathered_from(
    pipeline: Any,
    spec: EditSpec,
    settings: Settings,
    streams: Sequence[int],
    known: dict[Any, ConceptEmbeddings],
    store: WordStore | None = None,
) -> ConceptEmbeddings:
    """Return the concepts as these streams encode them together.

    Args:
        pipeline: the model.
        spec: the specification.
        settings: those of the editor.
        streams: the numbers of the streams.
        known: keeps what was read, for drafts that differ in settings which have no part in it.
        store: holds what any edit of this model reads.
    """
    return functools.reduce(beside, [_read(pipeline, known, spec, settings, stream, store) for stream in streams])


def beside(one: ConceptEmbeddings, other: ConceptEmbeddings) -> ConceptEmbeddings:
    """Return the concatenation of two text streams that feed the same matrix; each stream's concepts weigh 1."""

    def joined(left: Any, right: Any) -> Any:
        return left if left is None else torch.cat([left, right]) if isinstance(left, Tensor) else left + right

    other = replace(other, concept=other.concept + one.concept.max() + 1)
    return ConceptEmbeddings(*(joined(getattr(one, part.name), getattr(other, part.name)) for part in fields(one)))


def _read(
    pipeline: Any,
    known: dict[Any, ConceptEmbeddings],
    spec: EditSpec,
    settings: Settings,
    stream: int,
    store: WordStore | None,
) -> ConceptEmbeddings:
    """Return a stream's concepts under the settings; with another default anchor only the targets are read again."""
    choices = {part.name: getattr(settings, part.name) for part in fields(Settings)}
    anchor = choices.pop("default_anchor")
    besides = (stream, settings.lists_kept, settings.general_tokens, settings.own_lines("object"), *choices.values())
    if (besides, anchor) not in known:
        like = next((found for (same, _), found in known.items() if same == besides), None)
        known[besides, anchor] = gather(pipeline, spec, settings, stream, like, store)
    return known[besides, anchor]
