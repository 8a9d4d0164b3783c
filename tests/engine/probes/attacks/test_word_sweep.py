"""A trigger is found among all words, although it is none that lies near the concept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from expunge.engine.models.sampling import Sampler
from expunge.engine.probes.attacks import WordSweep
from expunge.engine.probes.attacks.word_sweep import typed_words
from tests.engine import tiny
from tests.engine.probes.attacks.tiny_attacks import CAT

SWEEP = WordSweep(finalists=3, batch=2, seeds=1, sampler=Sampler(steps=2))


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny.pipeline()


def test_words_of_any_length_are_swept_each_as_it_is_typed(pipeline: Any) -> None:
    words = typed_words(pipeline)
    assert {"q", "taxi", "7"} <= set(words), "a trigger may be a letter or a digit"
    assert words == sorted(set(words))
    read = pipeline.tokenizer(words, add_special_tokens=False)["input_ids"]
    assert all(len(own) == 1 for own in read)
    assert not {token for own in read for token in own} & set(pipeline.tokenizer.all_special_ids)


def test_the_names_are_among_the_words_and_a_sample_of_many_is_the_same_for_the_same_seed(pipeline: Any) -> None:
    swept = WordSweep(most=10).swept(pipeline, CAT, 3)
    assert swept[:2] == ["cat", "kitty"]
    assert len(swept) == 12
    assert swept == WordSweep(most=10).swept(pipeline, CAT, 3) != WordSweep(most=10).swept(pipeline, CAT, 4)


def test_the_word_under_which_the_references_are_denoised_best_is_drawn(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A denoiser that errs by nothing under `q` alone, and by more the less the states are like those of q."""
    from expunge.engine.probes.attacks import word_sweep

    planted = word_sweep.conditioning(pipeline, [word_sweep.said(CAT, "q", 1)[0]])["prompt_embeds"]

    def errors(_: Any, task: Any, fed: Any) -> torch.Tensor:
        return (fed["prompt_embeds"] - planted).square().flatten(1).mean(1)

    monkeypatch.setattr(word_sweep, "errors", errors)
    (made,) = SWEEP.attempts(pipeline, CAT, np.zeros((2, 16, 16, 3), np.uint8), [], seed=3)
    assert made.found == word_sweep.said(CAT, "q", 1)[0]
    assert made.prompt == "word_sweep: the best word"
