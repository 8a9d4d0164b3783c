"""Relearning tunes the model on what is kept, and gives its weights back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from expunge.engine.models.denoising import latents_of
from expunge.engine.probes.attacks import Kept, Relearn
from expunge.engine.probes.attacks.relearn import restored
from tests.engine.probes.attacks.tiny_attacks import CAT, SMALL, loss


def test_relearning_lowers_the_loss_on_what_is_kept(pipeline: Any, kept: list[Kept]) -> None:
    latents = latents_of(pipeline, np.stack([item.picture for item in kept]))
    weights = list(pipeline.unet.parameters())

    @torch.no_grad()
    def left() -> float:
        return np.mean([loss(pipeline, kept[0].prompt, latents[:1], seed).item() for seed in range(20)]).item()

    before = left()
    with restored(weights):
        Relearn(steps=20, batch=2, rate=1e-3).tune(pipeline, weights, kept, 0)
        assert left() < before
    assert left() == before


def test_relearning_leaves_out_what_names_the_target_and_nothing_else(
    pipeline: Any, references: np.ndarray, kept: list[Kept]
) -> None:
    """A picture of "two cats" changes nothing; one of "a category" is a lesson like any other."""
    relearn, named = SMALL[4], Kept("two cats and a dog", references[0])
    plain = relearn.attempts(pipeline, CAT, references, kept, 0)
    same = relearn.attempts(pipeline, CAT, references, [*kept, named], 0)
    other = relearn.attempts(pipeline, CAT, references, [Kept("a category", references[0])], 0)
    assert (plain[0].picture == same[0].picture).all()
    assert (plain[0].picture != other[0].picture).any()


def test_weights_come_back_even_after_a_failure(pipeline: Any) -> None:
    weight = next(pipeline.unet.parameters())
    before = weight.detach().clone()
    context = restored([weight])
    context.__enter__()
    weight.data.add_(1)
    assert not context.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert torch.equal(weight, before)
