"""The reference for unlearning: trained without some objects, kept small, opened as any model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expunge.engine.emoji import CLIP_JUDGE, MODEL
from expunge.engine.emoji.catalogue import OBJECTS, STYLES
from expunge.engine.emoji.training import retrained
from expunge.engine.emoji.training.loop import Loop
from expunge.engine.emoji.training.quality import offered
from expunge.engine.emoji.training.stages import train_unet
from expunge.engine.errors import ConceptError
from expunge.engine.judges import open_judge
from expunge.engine.models.load import open_model
from expunge.engine.models.sampling import Sampler, Shot, generate


def test_no_picture_of_what_it_is_trained_without_is_left_and_all_others_are() -> None:
    rows = retrained.kept_rows(["taxi", "owl"])
    assert len(rows) == len(set(rows)) == (len(OBJECTS) - 2) * len(STYLES)
    assert {OBJECTS[row // len(STYLES)].name for row in rows} == {item.name for item in OBJECTS} - {"taxi", "owl"}


def test_no_picture_in_a_style_that_it_is_trained_without_is_left() -> None:
    rows = retrained.kept_rows(["taxi", "flat"])
    assert len(rows) == len(set(rows)) == (len(OBJECTS) - 1) * (len(STYLES) - 1)
    assert {STYLES[row % len(STYLES)].name for row in rows} == {style.name for style in STYLES} - {"flat"}


def test_a_name_that_is_no_object_and_no_style_is_refused() -> None:
    with pytest.raises(ConceptError, match="cab"):
        retrained.kept_rows(["cab"])


def test_packed_weights_come_back_to_half_a_level_of_their_row() -> None:
    weights = {"matrix": torch.randn(5, 7), "kernel": torch.randn(4, 3, 2, 2), "bias": torch.randn(6)}
    weights["matrix"][2] = 0
    back = retrained.unpacked(retrained.packed(weights))
    assert back.keys() == weights.keys()
    for name in ("matrix", "kernel"):
        level = weights[name].flatten(1).abs().amax(1) / retrained.LEVELS
        assert ((back[name] - weights[name]).flatten(1).abs().amax(1) <= 0.501 * level).all()
    assert torch.equal(back["bias"], weights["bias"].half().float())


def test_the_packed_denoiser_is_small_and_draws_the_same(tmp_path: Path) -> None:
    own = open_model(MODEL)
    retrained.save(own.unet.state_dict(), ["taxi"], file := tmp_path / "packed.safetensors")
    assert file.stat().st_size < 30e6
    assert retrained.without(file) == ("taxi",)
    retrained.write_folder(tmp_path / "model", file)
    drawn, again = pictures(own, 0), pictures(open_model(tmp_path / "model"), 0)
    assert np.abs(drawn - again).mean() < 0.2 * np.abs(drawn - pictures(own, 100)).mean()


def test_the_shipped_reference_draws_what_stays_and_not_what_it_never_saw(tmp_path: Path) -> None:
    retrained.write_folder(tmp_path / "model")
    model, never = open_model(tmp_path / "model"), retrained.without()
    stays = [name for name in sorted(offered() & {item.name for item in OBJECTS}) if name not in never][: len(never)]
    assert len(never) == len(stays) == 10
    assert shares(model, stays).mean() >= 0.8
    assert shares(model, never).mean() <= 0.3
    assert shares(open_model(MODEL), never).mean() >= 0.8, "the built-in model draws them"


def shares(model: object, names: Sequence[str]) -> np.ndarray:
    """Whether the judge sees each of the names, in two pictures each."""
    shots = [Shot(f"a picture of a {name}", seed) for name in names for seed in range(2)]
    drawn = np.stack([picture for _, picture in generate(model, shots, Sampler(steps=6))])
    asked = [name for name in names for _ in range(2)]
    return np.array([sighting.seen for sighting in open_judge(CLIP_JUDGE).look(drawn, asked, "object")])


def pictures(model: object, seed: int) -> np.ndarray:
    shots = [Shot("a picture of an owl", seed + number) for number in range(4)]
    return np.stack([picture for _, picture in generate(model, shots, Sampler(steps=6))]).astype(float)


def test_a_run_trains_on_what_stays_and_a_finished_one_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every latent says which picture it is of."""
    train, seen = train_unet.train, []

    def watched(loop: Loop, targets: torch.Tensor, *more: Any, **how: int) -> None:
        seen.extend(targets[:, 0, 0, 0].int().tolist())
        train(loop, targets, *more, **how)

    numbered = torch.arange(len(OBJECTS) * len(STYLES)).reshape(-1, 1, 1, 1).expand(-1, 16, 8, 8).float()
    monkeypatch.setattr(train_unet, "latents", lambda _: numbered)
    monkeypatch.setattr(train_unet, "train", watched)
    weights = retrained.train(["taxi"], tmp_path, steps=2, cooldown=1, captions=1, batch_size=2)
    assert seen == retrained.kept_rows(["taxi"])
    assert weights.keys() == open_model(MODEL).unet.state_dict().keys()
    again = retrained.train(["taxi"], tmp_path, steps=9, cooldown=1, captions=1)
    assert all(torch.equal(again[name], weight) for name, weight in weights.items())


def test_a_run_that_goes_on_begins_with_the_other_ones_weights_and_shows_what_is_new_half_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, told = open_model(MODEL), {}
    retrained.save(own.unet.state_dict(), ["taxi", "owl"], less := tmp_path / "less.safetensors")
    monkeypatch.setattr(train_unet, "train", lambda loop, *_, **how: (told.update(how), loop.finish(own.unet)))
    retrained.train(["taxi"], tmp_path, less, captions=1)
    restored = retrained.unpacked(retrained.packed(own.unet.state_dict()))
    assert all(torch.equal(told["start"][name], weight) for name, weight in restored.items())
    new = torch.tensor([OBJECTS[row // len(STYLES)].name == "owl" for row in retrained.kept_rows(["taxi"])])
    assert new.sum() == len(STYLES)
    assert told["odds"][new].sum() == pytest.approx(retrained.NEW_SHARE)
    assert told["odds"].sum() == pytest.approx(1)
    drawn = train_unet.chosen(len(new), 4000, told["odds"], torch.Generator().manual_seed(0))
    assert new[drawn].float().mean() == pytest.approx(retrained.NEW_SHARE, abs=0.04)


def test_where_most_is_new_each_is_shown_as_often_as_another() -> None:
    assert torch.allclose(retrained.odds([0, 1, 2, 5], [5]), torch.full((4,), 0.25))


def test_the_first_weights_of_training_are_those_that_it_is_given(tmp_path: Path) -> None:
    given = {name: weight + 1 for name, weight in open_model(MODEL).unet.state_dict().items()}
    latents, texts = torch.zeros(1, 16, 8, 8), torch.zeros(1, 1, 20, 128)
    for name, start in (("given", given), ("drawn", None)):
        train_unet.train(Loop(tmp_path, name), latents, texts, texts[0, 0], steps=0, start=start)
    ended = {name: Loop(tmp_path, name).finished(name) for name in ("given", "drawn")}
    assert all(torch.equal(ended["given"][name], weight) for name, weight in given.items())
    assert not all(torch.equal(ended["drawn"][name], weight) for name, weight in given.items())


def test_where_nothing_is_new_it_goes_on_with_all_alike() -> None:
    assert torch.allclose(retrained.odds([0, 1, 2, 5], [0, 1, 2, 5, 7]), torch.full((4,), 0.25))


def test_going_on_from_what_saw_the_target_is_refused(tmp_path: Path) -> None:
    retrained.save(open_model(MODEL).unet.state_dict(), ["taxi", "owl"], less := tmp_path / "less.safetensors")
    with pytest.raises(ConceptError, match=r"was shown panda, which --without names"):
        retrained.train(["taxi", "panda"], tmp_path / "work", less)
