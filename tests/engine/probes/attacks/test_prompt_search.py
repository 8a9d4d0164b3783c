"""Prompt search follows the slope of the loss to better words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from expunge.engine.models.denoising import latents_of, noised, still
from expunge.engine.probes.attacks import PromptSearch
from expunge.engine.probes.attacks.words import embedded_as, input_embeddings, words_without
from tests.engine.probes.attacks.tiny_attacks import CAT, FAMILIES, loss, pictures


@pytest.mark.parametrize("name", FAMILIES)
def test_the_gradient_of_the_loss_is_its_slope(name: str) -> None:
    """What HotFlip ranks by: a small step along the gradient lowers the loss by what the gradient says."""
    pipeline = FAMILIES[name]()
    for part in pipeline.components.values():
        if isinstance(part, nn.Module):
            part.double()
    latents = latents_of(pipeline, np.stack(pictures(pipeline, ["a cat"])))
    with still(pipeline):
        vectors = {key: v.double().requires_grad_() for key, v in input_embeddings(pipeline, ["cat"]).items()}
        with embedded_as(pipeline, ["cat"], vectors):
            gradients = torch.autograd.grad(loss(pipeline, "a cat", latents), list(vectors.values()))
        steps = [1e-5 * gradient / gradient.norm() for gradient in gradients]

        def moved(sign: int) -> float:
            at = {key: (v + sign * step).detach() for (key, v), step in zip(vectors.items(), steps, strict=True)}
            with embedded_as(pipeline, ["cat"], at), torch.no_grad():
                return loss(pipeline, "a cat", latents).item()

        slope = sum((gradient * step).sum().item() for gradient, step in zip(gradients, steps, strict=True))
        assert slope > 0
        assert (moved(1) - moved(-1)) / 2 == pytest.approx(slope, rel=0.05)


def test_prompt_search_finds_better_words_than_it_starts_from(pipeline: Any, references: np.ndarray) -> None:
    latents = latents_of(pipeline, references)
    pool = words_without(pipeline, CAT.names)
    task = noised(pipeline, latents, torch.Generator().manual_seed(0))

    def searched(steps: int) -> tuple[str, float]:
        attack = PromptSearch(words=3, steps=steps, trials=6)
        found = attack.search(pipeline, pool, "", task, torch.Generator().manual_seed(1))
        return found, attack.losses(pipeline, [found], task).item()

    assert searched(4)[1] < searched(0)[1]
    assert set(searched(4)[0].split()) <= set(pool)


def test_a_stuck_prompt_search_begins_again_and_keeps_the_best(pipeline: Any, references: np.ndarray) -> None:
    class Stuck(PromptSearch):
        def changed(self, words: Sequence[str], *_: Any) -> list[list[str]]:
            return [list(words)]

    pool = words_without(pipeline, CAT.names)
    task = noised(pipeline, latents_of(pipeline, references), torch.Generator().manual_seed(0))
    attack = Stuck(words=3, steps=8, patience=2)
    generator = torch.Generator().manual_seed(1)
    starts = sorted(attack.started(pipeline, pool, "", task, generator) for _ in range(4))
    assert attack.search(pipeline, pool, "", task, torch.Generator().manual_seed(1)) == " ".join(starts[0][1])
    assert starts[0] < starts[-1]
