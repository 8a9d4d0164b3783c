"""Concept vectors are bred from the text encoder alone, and come near without a name."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.probes.attacks import ConceptVector
from expunge.engine.probes.attacks.concept_vector import vectors_of
from expunge.engine.probes.attacks.words import words_without
from expunge.engine.spec import EditSpec, Target
from tests.engine.probes.attacks.tiny_attacks import CAT, SAMPLER


def test_concept_vector_comes_near_and_never_names_it(pipeline: Any) -> None:
    pool = words_without(pipeline, CAT.names)
    assert not {"cat", "cats", "kitty"} & set(pool)
    attack = ConceptVector(words=2, searches=1, strengths=(1.0,), pairs=2, seeds=1, sampler=SAMPLER)
    (found,) = {attempt.found for attempt in attack.attempts(pipeline, CAT, np.zeros((1, 16, 16, 3), np.uint8), [], 0)}
    assert not {"cat", "kitty"} & set(found.split())
    with applied(pipeline, plan(pipeline, EditSpec((Target("cat", ("cat",)),), editor="uce"))):
        after = attack.attempts(pipeline, CAT, np.zeros((1, 16, 16, 3), np.uint8), [], 0)
    assert {attempt.found for attempt in after} == {found}  # it never looks at the denoiser


def test_breeding_finds_words_that_are_there(pipeline: Any) -> None:
    """Positive control: aimed at the very embedding of two words of the pool, it finds both or comes very close."""
    pool = ["dog", "tree", "house", "boat", "apple", "river", "piano", "moon"]
    attack = ConceptVector(words=2, population=32, generations=20)
    goal = vectors_of(pipeline, ["boat moon"])[0]
    assert attack.search(pipeline, pool, goal, Random(0)) == "boat moon"
