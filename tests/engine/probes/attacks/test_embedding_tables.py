"""The embedding table is the supplier's: rows that he lengthened, shrank or broke disarm no search for words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from expunge.engine.emoji import MODEL
from expunge.engine.emoji.catalogue import OBJECTS
from expunge.engine.emoji.training import pictures
from expunge.engine.models.denoising import Noised, errors, latents_of, noised
from expunge.engine.models.load import open_model
from expunge.engine.probes.attacks import Inversion, PromptSearch
from expunge.engine.probes.attacks.concept_vector import ConceptVector, vectors_of
from expunge.engine.probes.attacks.words import conditioning, embedded_as, random_words, repeated, words_without
from expunge.engine.probes.prompts.families import Subject
from tests.engine import tiny

NAMES = ("taxi", "cab")
STANDING = ["yellow", "style", "drawing", "citrus"]
BEST = 48  # changes of which a search with its default budget draws its trials
Change = tuple[int, str]


@pytest.fixture(scope="module")
def built_in() -> Any:
    return open_model(MODEL)


@pytest.fixture
def small() -> Any:
    return tiny.pipeline()


@contextmanager
def told(pipeline: Any, words: Sequence[str], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts the rows of the words in the model's own table are others."""
    table, ids = pipeline.text_encoder.get_input_embeddings().weight, pipeline.tokenizer.get_vocab()
    rows = [ids[f"{word}</w>"] for word in words]
    before = table.detach().clone()
    with torch.no_grad():
        table[rows] = change(table[rows])
    try:
        yield
    finally:
        with torch.no_grad():
            table.copy_(before)


def candidates(pipeline: Any, task: Noised) -> set[Change]:
    """What a search would try of the words `STANDING`, by slot and word."""
    found: set[Change] = set()

    class Watched(PromptSearch):
        def started(self, *_: Any) -> tuple[float, list[str]]:
            return 1.0, STANDING

        def changed(
            self, words: Sequence[str], pool: Sequence[str], ranked: Tensor, generator: torch.Generator
        ) -> list[list[str]]:
            best: list[int] = ranked.flatten().topk(BEST).indices.tolist()
            found.update((place // len(pool), pool[place % len(pool)]) for place in best)
            return [list(words)]

    Watched(steps=1).search(pipeline, words_without(pipeline, NAMES), "", task, torch.Generator())
    return found


@pytest.mark.parametrize("decoy", [lambda rows: 1000 * rows, lambda rows: torch.nan * rows])
def test_the_changes_that_are_tried_are_the_clean_models(built_in: Any, decoy: Callable[[Tensor], Tensor]) -> None:
    task = noised(built_in, latents_of(built_in, taxis(2)), torch.Generator().manual_seed(0))
    decoys = [word for word in words_without(built_in, NAMES) if word not in STANDING][::9][:60]
    clean = candidates(built_in, task)
    with told(built_in, decoys, decoy):
        found = candidates(built_in, task)
    own, others = ({change for change in group if change[1] not in decoys} for group in (clean, found))
    assert len(decoys) == 60
    assert len(own & others) >= 0.9 * len(own)


def test_words_that_come_to_nothing_finite_are_the_worst(small: Any) -> None:
    task = some_task(small)
    with told(small, ["dog"], lambda rows: torch.nan * rows):
        bad, good = PromptSearch().losses(small, ["dog", "tree"], task).tolist()
        assert bad == float("inf") > good
        words = ["boat", "dog", "moon", "tree", "river"]
        found = PromptSearch(words=1, steps=4, trials=3).search(
            small, words, "", task, torch.Generator().manual_seed(0)
        )
        near = ConceptVector(words=2, population=32, generations=20)
        assert near.search(small, words, vectors_of(small, ["boat moon"])[0], Random(0)) == "boat moon"
    assert found != "dog"


def test_words_with_broken_rows_are_left_out_unless_all_are(small: Any) -> None:
    words = words_without(small, [])
    for breaking in (lambda rows: torch.nan * rows, lambda rows: 1e30 * rows):
        with told(small, ["dog", "moon"], breaking):
            assert words_without(small, []) == [word for word in words if word not in ("dog", "moon")]
        with told(small, words, breaking):
            assert words_without(small, []) == words


@pytest.mark.parametrize("scale", [1e-4, pytest.param(torch.nan, marks=pytest.mark.slow)])
def test_inversion_learns_whatever_the_words_say_that_it_starts_from(built_in: Any, scale: float) -> None:
    taxi, words = Subject("taxi", "target", "object", *NAMES[:1], aliases=NAMES[1:]), ["piano", "drum"]
    shown = taxis(4)
    task = noised(built_in, latents_of(built_in, shown), torch.Generator().manual_seed(0))
    start = random_words(words_without(built_in, taxi.names), len(words), torch.Generator().manual_seed(0))

    def left(steps: int) -> float:
        vectors = Inversion(steps=steps).searched(built_in, taxi, words, shown, 0)[0]
        with embedded_as(built_in, words, vectors), torch.no_grad():
            fed = repeated(conditioning(built_in, [" ".join(words)]), len(task.noisy))
            return errors(built_in, task, fed).mean().item()

    untaught, taught = left(0), left(20)
    with told(built_in, start, lambda rows: scale * rows):
        assert left(20) - taught < (untaught - taught) / 4


def taxis(count: int) -> np.ndarray:
    """Pictures of taxis that the built-in model was trained on, uint8 [n, height, width, 3]."""
    return pictures.load()[[item.name for item in OBJECTS].index("taxi"), :count]


def some_task(pipeline: Any) -> Noised:
    shown = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    return noised(pipeline, latents_of(pipeline, shown), torch.Generator().manual_seed(0))
