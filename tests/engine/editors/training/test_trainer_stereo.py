"""STEREO searches for words on a model that was erased, and erases them once from the unedited one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from expunge.engine.editors.training import TRAINERS, stereo, train
from expunge.engine.editors.training.base import Run
from expunge.engine.editors.training.denoiser import read, unconditional
from expunge.engine.editors.training.stereo import StereoSettings
from expunge.engine.models.denoising import errors, noised, predicted
from expunge.engine.probes.attacks.words import repeated
from expunge.engine.spec import EditSpec
from tests.engine.editors.training.trainees import RETAIN, TARGETS, answer, listening

QUICK = {"searches": 1, "iterations": 2, "steps": 4, "pictures": 2, "inversion_steps": 3, "rate": 1e-3}
SPEC = EditSpec(TARGETS, RETAIN, "stereo", QUICK)


def noisy(pipeline: Any, count: int = 1) -> torch.Tensor:
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(5))


def test_it_changes_all_but_cross_attention_and_the_same_input_gives_the_same_weights() -> None:
    made, again = train(listening(), SPEC), train(listening(), SPEC)
    assert made.digest == again.digest
    assert made.deltas
    assert not [name for name in made.deltas if ".attn2." in name]
    crossed = train(listening(), EditSpec(TARGETS, RETAIN, "stereo", {**QUICK, "parameters": "cross-attention"}))
    assert crossed.deltas
    assert all(".attn2." in name for name in crossed.deltas)
    assert all(map(TRAINERS["stereo"].declared(StereoSettings(parameters="cross-attention")), crossed.deltas))


def test_a_search_erases_towards_no_words_at_the_published_guidance() -> None:
    pipeline = listening()
    named, time = read(pipeline, ["cat"]), torch.tensor(500)
    found = stereo._silence(pipeline, StereoSettings())(noisy(pipeline), time, named)
    nothing = predicted(pipeline, noisy(pipeline), time, unconditional(pipeline, 1))
    assert torch.allclose(found, nothing, atol=1e-5)


def test_the_last_aim_goes_towards_a_sentence_and_away_from_the_mean_of_all_words_found() -> None:
    pipeline, time = listening(), torch.tensor(500)
    gone = [read(pipeline, [word]) for word in ("cat", "kitten")]
    aim = stereo._composed(pipeline, gone, ["a dog by the sea"], StereoSettings(guidance=2.0), torch.Generator())
    found = aim(noisy(pipeline), time, gone[0])
    without = predicted(pipeline, noisy(pipeline), time, unconditional(pipeline, 1))
    anchor, cat, kitten = (
        answer(pipeline, noisy(pipeline), time, text) for text in ("a dog by the sea", "cat", "kitten")
    )
    away = (cat + kitten) / 2 - without
    assert torch.allclose(found, without + (anchor - without) - 3 * away, atol=1e-4)


def test_a_word_found_denoises_the_gallery_better_than_at_its_start() -> None:
    pipeline = listening()

    def found(steps: int) -> torch.Tensor:
        settings = StereoSettings(inversion_steps=steps, inversion_rate=0.05, pictures=2, steps=4)
        draws = torch.Generator().manual_seed(1)
        gallery = stereo._gallery(pipeline, [read(pipeline, ["cat"])], settings, draws, Run())
        assert gallery.shape == (2, 4, 8, 8)
        word = stereo._inverted(pipeline, ["cat"], gallery, settings, draws, Run())
        task = noised(pipeline, gallery.repeat(32, 1, 1, 1), torch.Generator().manual_seed(2))
        return errors(pipeline, task, repeated(word, 64)).mean()

    assert found(80) < found(0)


def test_the_last_training_begins_at_the_unedited_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the searches changed is undone first."""
    pipeline, begun = listening(), []
    erase = stereo._erase

    def watched(student: Any, weights: Any, *others: Any) -> None:
        begun.append({name: weight.detach().clone() for name, weight in weights.items()})
        erase(student, weights, *others)

    monkeypatch.setattr(stereo, "_erase", watched)
    train(pipeline, SPEC)
    first, last = begun[0], begun[-1]
    assert len(begun) == 2
    assert all(torch.equal(first[name], last[name]) for name in first)
