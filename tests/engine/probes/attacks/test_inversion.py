"""Inversion learns a vector that stands for the target's name in every encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from expunge.engine.models.denoising import latents_of
from expunge.engine.probes.attacks import Inversion
from expunge.engine.probes.attacks.words import conditioning, embedded_as, input_embeddings, words_without
from tests.engine.probes.attacks.tiny_attacks import CAT, FAMILIES, loss


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
        vectors = Inversion(steps=steps, batch=2, wordings=1).learned(pipeline, CAT, words, references, 0)
        with embedded_as(pipeline, words, vectors), torch.no_grad():
            return np.mean([loss(pipeline, " ".join(words), latents, seed).item() for seed in range(20, 30)]).item()

    assert left(40) < left(0)
