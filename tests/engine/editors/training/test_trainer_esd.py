"""ESD trains away from its targets, where and as far as its settings say."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from expunge.engine.editors.training import esd, train
from expunge.engine.editors.training.denoiser import ddim, noise_like_latents, read, take
from expunge.engine.editors.training.esd import away
from expunge.engine.files.tensor_files import tensor_digest
from expunge.engine.spec import EditSpec
from tests.engine.editors.training.trainees import ESD, RETAIN, TARGETS, answer, listening, noted, varied


@pytest.mark.parametrize("eta", [0.5, 2.0])
def test_esd_aims_as_far_beyond_the_empty_prompt_as_eta_says(eta: float) -> None:
    pipeline = listening()
    conditions, time = read(pipeline, ["", "cat"]), torch.tensor(600)
    noisy = noise_like_latents(pipeline.unet, 2, torch.Generator().manual_seed(1))
    without, told = (answer(pipeline, noisy, time, name) for name in ("", "cat"))
    wanted = (1 + eta) * without - eta * told
    found = away(pipeline, noisy, time, take(conditions, [1, 1]), take(conditions, [0, 0]), eta)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert (found - without).norm() > 0.1 * without.norm() * eta  # a sign would be seen


@pytest.mark.parametrize("walks", ["frozen", "trained"])
@pytest.mark.parametrize("eta", [0.5, 2.0])
def test_esd_takes_its_loss_where_guidance_leads_the_model_under_the_targets_name(
    eta: float, walks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step, at which the model in training is the untouched one, from the first noise on."""
    made: list[esd.Sample] = []
    losses: list[float] = []
    drawn = esd._samples
    monkeypatch.setattr(esd, "_samples", lambda *args: made.extend(drawn(*args)) or made)
    settings = {"iterations": 1, "steps": 4, "batch": 2, "alpha": 2.5, "eta": eta, "walks": walks}
    train(listening(), EditSpec(TARGETS[:1], RETAIN, "esd", settings), partial(noted, losses))
    state, until = made[0].noise, made[0].until
    assert until > 0
    pipeline = listening()
    scheduler = ddim(pipeline, 4)

    def said(time: Tensor) -> tuple[Tensor, Tensor]:
        return answer(pipeline, state, time, ""), answer(pipeline, state, time, "cat")

    for time in scheduler.timesteps[:until]:
        without, told = said(time)
        state = scheduler.step(2.5 * told - 1.5 * without, time, state).prev_sample
    without, told = said(scheduler.timesteps[until])
    wanted = (told - ((1 + eta) * without - eta * told)).square().mean().item()
    assert losses == [pytest.approx(wanted, rel=1e-4)]


def test_esd_walks_on_the_model_that_is_told_to() -> None:
    """The frozen one may walk ahead of the training; after a large step the trained one goes elsewhere."""
    taught = {"rate": 0.1, "iterations": 6}
    given = ({}, {"walks": "trained"}, {"walks": "frozen"})
    default, trained, frozen = (tensor_digest(train(listening(), varied(ESD, **taught, **who)).deltas) for who in given)
    assert default == frozen != trained
    first = [train(listening(), varied(ESD, rate=0.1, iterations=1, walks=who)) for who in ("frozen", "trained")]
    assert first[0].deltas
    for name, delta in first[0].deltas.items():
        assert torch.allclose(delta, first[1].deltas[name], atol=1e-3)
