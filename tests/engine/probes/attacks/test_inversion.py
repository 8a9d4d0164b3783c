"""Inversion learns a vector that stands for the target's name in every encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from expunge.engine.errors import SettingError
from expunge.engine.models.denoising import latents_of
from expunge.engine.probes.attacks import Inversion
from expunge.engine.probes.attacks import inversion as module
from expunge.engine.probes.attacks.inversion import BUDGETS, strongest
from expunge.engine.probes.attacks.words import conditioning, embedded_as, input_embeddings, words_without
from tests.engine.probes.attacks.tiny_attacks import CAT, FAMILIES, SAMPLER, loss


@pytest.mark.parametrize("name", FAMILIES)
def test_a_word_embedded_as_another_is_the_other(name: str) -> None:
    """The theorem behind inversion: the swap reaches every encoder, and with a word's own vector changes nothing."""
    pipeline = FAMILIES[name]()
    plain = conditioning(pipeline, ["a cat", "a dog"])
    with torch.no_grad():
        for words, expected in (("cat", 0), ("dog", 1)):
            with embedded_as(pipeline, ["cat"], input_embeddings(pipeline, [words])):
                swapped = conditioning(pipeline, ["a cat"])
            for key, value in swapped.items():
                torch.testing.assert_close(value[0], plain[key][expected], rtol=1e-3, atol=1e-4)
                if value.dtype != torch.bool:  # a mask is the same for words of one token
                    assert not torch.allclose(value[0], plain[key][1 - expected], rtol=1e-2, atol=1e-3)
        for key, value in conditioning(pipeline, ["a cat", "a dog"]).items():
            torch.testing.assert_close(value, plain[key], rtol=1e-3, atol=1e-4)  # nothing is left of the swap


def test_inversion_learns(pipeline: Any, references: np.ndarray) -> None:
    """More steps denoise the references better than none, on noise that was never trained on."""
    latents = latents_of(pipeline, references)
    words = words_without(pipeline, ["cat", "a picture of the one"])[:2]

    def left(steps: int) -> float:
        vectors = Inversion(steps=steps, batch=2, wordings=1).searched(pipeline, CAT, words, references, 0)[0]
        with embedded_as(pipeline, words, vectors), torch.no_grad():
            return np.mean([loss(pipeline, " ".join(words), latents, seed).item() for seed in range(20, 30)]).item()

    assert left(40) < left(0)


def test_searches_side_by_side_find_what_each_finds_alone(
    pipeline: Any, references: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to rounding, on the same seeds, whatever the numbers of vectors and however many run together."""
    words = words_without(pipeline, ["cat", "a picture of the one"])[:3]
    attack = Inversion(vectors=(2, 1, 3), steps=4, batch=2, wordings=1)

    def found(together: int) -> list[Any]:
        monkeypatch.setattr(module, "TOGETHER", together)
        return attack.searched(pipeline, CAT, words, references, 7)

    apart = found(1)
    for beside in (found(3), found(2)):
        for one, other in zip(apart, beside, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=1e-3)
    assert [len(own["text_encoder"]) for own in apart] == [2, 1, 3]
    (alone,) = Inversion(vectors=(2,), steps=4, batch=2, wordings=1).searched(pipeline, CAT, words, references, 7)
    torch.testing.assert_close(alone["text_encoder"], apart[0]["text_encoder"], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(apart[0]["text_encoder"][0], apart[1]["text_encoder"][0], atol=1e-2), "other draws"


def test_every_search_draws_its_own_pictures_and_the_strongest_counts(pipeline: Any, references: np.ndarray) -> None:
    attack = Inversion(vectors=(1, 2), steps=1, batch=2, wordings=2, seeds=2, sampler=SAMPLER)
    made = attack.attempts(pipeline, CAT, references, [], 3)
    assert len(made) == attack.cost == 8
    assert len({(own.prompt, own.seed) for own in made}) == 8
    assert made[0].prompt.startswith("inversion 1 of 2, vectors 1: ")
    assert strongest(made, [True, False, False, False, True, True, False, False]) == [True, True, False, False]
    assert strongest(made, [False] * 8) == [False] * 4
    (one, *_) = Inversion(steps=1, batch=2, wordings=1, seeds=1, sampler=SAMPLER).attempts(
        pipeline, CAT, references, [], 3
    )
    assert one.prompt.startswith("inversion: "), "one search is called what it was called before there were several"
    with pytest.raises(SettingError, match="no attempts"):
        strongest([], [])


def test_budgets_have_names_and_numbers_of_vectors_have_limits() -> None:
    assert Inversion.of_budget("1x") == Inversion()
    assert all(isinstance(Inversion.of_budget(name), Inversion) for name in BUDGETS)
    assert Inversion.of_budget("16x").steps == 4 * Inversion.of_budget("4x").steps == 16 * Inversion().steps
    with pytest.raises(SettingError, match="no budget '2x'; use one of 1x"):
        Inversion.of_budget("2x")
    for wrong in ((), (0,), (2, 9)):
        with pytest.raises(SettingError, match="from 1 to 8"):
            Inversion(vectors=wrong)
