"""Attacks that count beside a never-trained model: what each computes, and that none decides a verdict."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from expunge.engine.errors import ConceptError, SettingError, UnknownArchitecture
from expunge.engine.models.denoising import latents_of, level_at, noised, predicted
from expunge.engine.planning.closed_form import plan
from expunge.engine.plans.edit_plan import applied
from expunge.engine.probes.attacks import ATTACKS, Attack, Kept
from expunge.engine.probes.attacks.compared import COMPARED, KnowsHardened, OwnPictures, Recall, Tina, knows_hardened
from expunge.engine.probes.attacks.compared.knows_hardened import AGAINST
from expunge.engine.probes.attacks.compared.paths import (
    descended,
    draws_of,
    levels,
    noise_like,
    nothing_said,
    pictures_of,
)
from expunge.engine.probes.attacks.compared.recall import _slope
from expunge.engine.probes.attacks.relearn import restored
from expunge.engine.probes.attacks.words import conditioning, repeated, words_without
from expunge.engine.probes.levels import LEVELS
from expunge.engine.spec import EditSpec, Target
from expunge.engine.stats.limits import attack_names
from tests.engine.digests import at_rest
from tests.engine.elsewhere import PLACE, nowhere_mixed
from tests.engine.families import tiny_families
from tests.engine.probes.attacks.test_attacks import another
from tests.engine.probes.attacks.tiny_attacks import CAT, FAMILIES, SAMPLER, loss

SMALL: tuple[Attack, ...] = (
    Tina(pictures=2, steps=2, refinements=2, sampler=SAMPLER),
    Recall(starts=3, levels=2, iterations=1, injections=1, sampler=SAMPLER),
    OwnPictures(steps=2, batch=2, wordings=2, seeds=1, pictures=2, sampler=SAMPLER),
    KnowsHardened(vectors=2, steps=2, batch=2, seeds=1, sampler=SAMPLER),
)


@pytest.mark.parametrize("attack", SMALL, ids=lambda attack: attack.name)
def test_it_leaves_no_trace_repeats_itself_and_pairs_up(
    pipeline: Any, attack: Attack, references: np.ndarray, kept: list[Kept]
) -> None:
    """The fixture compares every weight; the edited arm asks the same (prompt, seed) pairs."""
    before = attack.attempts(pipeline, CAT, references, kept, 5)
    again = attack.attempts(pipeline, CAT, references, kept, 5)
    assert len(before) == attack.cost
    assert all((one.picture == other.picture).all() for one, other in zip(before, again, strict=True))
    with applied(pipeline, plan(pipeline, EditSpec((Target("cat", ("cat",)),), editor="uce"))):
        after = attack.attempts(pipeline, CAT, references, kept, 5)
    pairs = [(attempt.prompt, attempt.seed) for attempt in before]
    assert len(set(pairs)) == len(pairs)
    assert [(attempt.prompt, attempt.seed) for attempt in after] == pairs
    assert any((one.picture != other.picture).any() for one, other in zip(before, after, strict=True))


def test_attack_a_level_that_a_model_which_never_saw_the_target_cannot_pass() -> None:
    """No level makes them and no statistic knows them, so that none can decide a verdict."""
    assert set(COMPARED) == {attack.name for attack in SMALL}
    assert not set(COMPARED) & {*ATTACKS, *attack_names.ATTACKS}
    assert not set(COMPARED) & {attack.name for level in LEVELS.values() for attack in level.attacks}


@pytest.mark.parametrize("name", COMPARED)
def test_a_digest_is_the_whole_budget(name: str) -> None:
    attack: Any = COMPARED[name]() if name != "recall" else Recall(injections=5, strength=0.4)
    for setting in fields(attack):
        other = replace(attack, **{setting.name: another(getattr(attack, setting.name))})
        assert other.digest != attack.digest, setting.name


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_every_family_whose_denoising_is_known_is_attacked(family: str) -> None:
    pipeline = FAMILIES[family]()
    before = at_rest(pipeline)
    shown = pictures_of(pipeline, torch.randn(2, *_latent(pipeline), generator=torch.Generator().manual_seed(1)))
    for attack in SMALL:
        assert len(attack.attempts(pipeline, CAT, shown, [], 5)) == attack.cost
    assert at_rest(pipeline) == before


def _latent(pipeline: Any) -> tuple[int, ...]:
    side = 8 * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    return tuple(latents_of(pipeline, np.zeros((1, side, side, 3), np.uint8)).shape[1:])


def test_what_cannot_be_attacked_is_refused(pipeline: Any, references: np.ndarray) -> None:
    for attack in SMALL:
        with pytest.raises(UnknownArchitecture):
            attack.check(tiny_families.wan())
    with pytest.raises(ConceptError, match="tina leads back to 3 pictures and has 2"):
        Tina(pictures=3).attempts(pipeline, CAT, references, [], 0)
    for attack in SMALL:
        with pytest.raises(ConceptError):
            attack.attempts(pipeline, CAT, references[:0], [], 0)
    with pytest.raises(SettingError, match="strength"):
        Recall(strength=0.0)
    with pytest.raises(SettingError, match="injections"):
        Recall(levels=2, injections=3)


@pytest.mark.parametrize("attack", SMALL, ids=lambda attack: attack.name)
def test_it_runs_where_the_model_lies(attack: Attack) -> None:
    pipeline = FAMILIES["sd"]().to(PLACE)
    with nowhere_mixed():
        assert len(attack.attempts(pipeline, CAT, np.zeros((2, 16, 16, 3), np.uint8), [], 1)) == attack.cost


def test_pictures_of_latents_are_what_the_pipeline_decodes(pipeline: Any, references: np.ndarray) -> None:
    latents = latents_of(pipeline, references)
    with torch.no_grad():
        expected = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    shown = (expected / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    assert abs(pictures_of(pipeline, latents).astype(float) - 255 * shown).max() <= 0.51


def test_a_state_that_is_led_up_comes_down_to_where_it_was(pipeline: Any, references: np.ndarray) -> None:
    """The theorem behind TINA; refined, the way back is nearer to it than the usual inversion."""
    wanted = latents_of(pipeline, references).float()
    told, path = nothing_said(pipeline, len(wanted)), levels(pipeline, 2, 0.3)

    def missed(refinements: int) -> float:
        noise = Tina(refinements=refinements, rate=0.02).inverted(pipeline, wanted, path, told)
        with torch.no_grad():
            ends = descended(pipeline, noise, path, lambda state, time: predicted(pipeline, state, time, told))
        return (ends - wanted).square().mean().item()

    usual, refined = missed(0), missed(40)
    assert refined < 0.1 * usual


def test_a_path_ends_without_noise_and_its_levels_fall(pipeline: Any) -> None:
    path = levels(pipeline, 5, 0.8)
    assert (path[-1].signal, path[-1].spread) == (1.0, 0.0)
    assert all(one.spread > other.spread for one, other in pairwise(path))


def test_a_start_is_treated_more_like_the_reference_than_before(pipeline: Any, references: np.ndarray) -> None:
    """Downhill: the sign as published would go up."""
    wanted = latents_of(pipeline, references).float()
    told = repeated({name: own.detach() for name, own in conditioning(pipeline, ["a cat"]).items()}, 2)
    nothing = nothing_said(pipeline, 2)
    attack = Recall(levels=2, iterations=10, rate=0.05, injections=1, injected=0.0, mixed=0.0)

    def apart(start: torch.Tensor) -> float:
        found = 0.0
        for share in (0.2, 0.5, 0.8):
            level = level_at(pipeline, share)
            noise = noise_like(wanted, draws_of("apart", [1, 2]))
            said = [
                predicted(pipeline, level.signal * own + level.spread * noise, level.time, told)
                for own in (start, wanted)
            ]
            found += (said[0] - said[1]).square().mean().item()
        return found

    draws = draws_of("start", [5, 6])
    begun = noise_like(wanted, draws_of("start", [5, 6]))
    with torch.enable_grad():
        moved = attack.moved(pipeline, wanted, told, nothing, draws)
    with torch.no_grad():
        assert apart(moved) < apart(begun)
    assert not _slope(pipeline, wanted, wanted, level_at(pipeline, 0.5), begun, told, nothing).any(), "at the goal"


def test_a_picture_does_not_depend_on_its_batch(pipeline: Any, references: np.ndarray) -> None:
    alone = replace(SMALL[1], sampler=replace(SAMPLER, batch=1))  # type: ignore[type-var]
    one, other = (
        np.stack([own.picture for own in a.attempts(pipeline, CAT, references, [], 5)]) for a in (SMALL[1], alone)
    )
    assert abs(one.astype(int) - other.astype(int)).max() <= 2


def test_own_pictures_are_tuned_on_under_the_concepts_name(pipeline: Any, references: np.ndarray) -> None:
    attack = OwnPictures(steps=10, batch=2, rate=2e-3, pictures=3, wordings=2)
    lessons = attack.lessons(CAT, references, [])
    assert len(lessons) == 3
    assert all("cat" in lesson.prompt for lesson in lessons)
    assert len({lesson.prompt for lesson in lessons}) == 2
    assert [(lesson.picture == references[number % 2]).all() for number, lesson in enumerate(lessons)] == [True] * 3
    latents, tuned, left = latents_of(pipeline, references), list(pipeline.unet.parameters()), []
    with restored(tuned):
        for _ in range(2):
            left.append(np.mean([loss(pipeline, lessons[0].prompt, latents, seed).item() for seed in range(5)]))
            attack.tune(pipeline, tuned, lessons, 0)
    assert left[1] < 0.9 * left[0]


def test_guidance_away_from_the_name_undoes_an_erasure_that_turned_the_name_around(
    pipeline: Any, references: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack: a model whose prediction under the name has the target's direction with the sign changed.

    Told no words and led away from the name, it errs exactly as the unedited model does under the name.
    """
    attack = KnowsHardened(sampler=replace(SAMPLER, guidance=2.0))
    task = noised(pipeline, latents_of(pipeline, references), torch.Generator().manual_seed(0))
    named, nothing = repeated(conditioning(pipeline, ["a cat"]), 2), nothing_said(pipeline, 2)
    with torch.no_grad():
        said, unsaid = (predicted(pipeline, task.noisy, task.times, own) for own in (named, nothing))

    def erased(pipeline: Any, noisy: torch.Tensor, times: torch.Tensor, told: Any) -> torch.Tensor:
        return unsaid - (said - unsaid) if told is named else unsaid

    monkeypatch.setattr(knows_hardened, "predicted", erased)
    expected = (said - task.goal).square().flatten(1).mean(1)
    torch.testing.assert_close(attack.off(pipeline, task, nothing, named), expected)
    assert not torch.allclose(attack.off(pipeline, task, nothing, nothing), expected)


def test_what_is_learned_is_the_guided_prediction(pipeline: Any, references: np.ndarray) -> None:
    """More steps denoise the references better through the guidance, on noise that was never trained on."""
    latents = latents_of(pipeline, references)
    words = words_without(pipeline, ["cat", "a picture of the one"])[:2]

    def left(steps: int) -> list[float]:
        attack = KnowsHardened(vectors=2, steps=steps, batch=2, sampler=SAMPLER)
        with torch.enable_grad():
            bases = attack.bases(pipeline, CAT, words, references, 0)
            searches = attack.searched(pipeline, CAT, words, latents, bases, 0)
        found = []
        for search, base in zip(searches, bases, strict=True):
            with torch.no_grad():
                told = repeated(search.asked(pipeline, " ".join(words)), 2)
                tasks = [noised(pipeline, latents, torch.Generator().manual_seed(seed)) for seed in range(20, 24)]
                found.append(sum(attack.off(pipeline, task, told, repeated(base, 2)).mean().item() for task in tasks))
        return found

    short, long = left(0), left(25)
    assert len(long) == len(AGAINST)
    assert sum(long) < sum(short)
