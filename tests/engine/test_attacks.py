"""Attacks: they leave the model bit for bit, pair up by prompt and seed, and their parts compute what they claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EDMDPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline
from torch import nn

from engine import evidence
from engine.deltas import applied, plan
from engine.denoising import errors, latents_of, noised, still
from engine.errors import ConceptError, SettingError, UnknownArchitecture
from engine.judges import Sighting
from engine.probes.attacks import (
    ATTACKS,
    Attack,
    ConceptVector,
    Inversion,
    Kept,
    PromptSearch,
    Relearn,
    StartPicture,
    attack_rows,
    reference_pictures,
    remains,
    run_attacks,
    success_rate,
)
from engine.probes.attacks.concept_vector import vectors_of
from engine.probes.attacks.relearn import restored
from engine.probes.attacks.start_picture import completed
from engine.probes.attacks.words import conditioning, embedded_as, input_embeddings, words_without
from engine.sampling import Sampler, Shot, generate
from engine.spec import EditSpec, Target
from engine.training import denoiser
from tests.engine import tiny, tiny_families
from tests.engine.digests import at_rest
from tests.engine.small_memory import small_memory
from tests.engine.tiny_attacks import CAT, FAMILIES, SAMPLER, SMALL


@pytest.fixture(scope="module")
def references(built: Any) -> np.ndarray:
    return np.stack(pictures(built, ["a cat", "a cat in the garden"]))


@pytest.fixture(scope="module")
def kept(built: Any) -> list[Kept]:
    prompts = ["a dog", "a tree"]
    return [Kept(*pair) for pair in zip(prompts, pictures(built, prompts), strict=True)]


def pictures(pipeline: Any, prompts: Sequence[str]) -> list[np.ndarray]:
    return [picture for _, picture in generate(pipeline, [Shot(prompt, 3) for prompt in prompts], SAMPLER)]


def loss(pipeline: Any, prompt: str, latents: torch.Tensor, seed: int = 0) -> torch.Tensor:
    task = noised(pipeline, latents, torch.Generator().manual_seed(seed))
    fed = {key: value.expand(len(latents), *value.shape[1:]) for key, value in conditioning(pipeline, [prompt]).items()}
    return errors(pipeline, task, fed).mean()


class BrightJudge:
    """Sees the concept in bright pictures; a real rule, whatever the concept."""

    digest = "brightness"
    categories = frozenset({"object"})

    def __init__(self, limit: float = 127) -> None:
        self.limit = limit

    def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
        assert len(pictures) == len(concepts)
        return [Sighting(bool(picture.mean() > self.limit), float(picture.mean() / 255)) for picture in pictures]


@pytest.mark.parametrize("attack", SMALL, ids=lambda attack: attack.name)
def test_an_attack_leaves_no_trace_repeats_itself_and_pairs_up(
    pipeline: Any, attack: Attack, references: np.ndarray, kept: list[Kept]
) -> None:
    """The fixture compares every weight; the edited arm asks the same (prompt, seed) pairs."""
    before = attack.attempts(pipeline, CAT, references, kept, 5)
    again = attack.attempts(pipeline, CAT, references, kept, 5)
    assert len(before) == attack.cost
    assert all((one.picture == other.picture).all() for one, other in zip(before, again, strict=True))
    assert [one.found for one in before] == [other.found for other in again]
    with applied(pipeline, plan(pipeline, EditSpec((Target("cat", ("cat",)),), editor="uce"))):
        after = attack.attempts(pipeline, CAT, references, kept, 5)
    pairs = [(attempt.prompt, attempt.seed) for attempt in before]
    assert len(set(pairs)) == len(pairs)
    assert [(attempt.prompt, attempt.seed) for attempt in after] == pairs
    assert any((one.picture != other.picture).any() for one, other in zip(before, after, strict=True))


def test_all_attacks_make_one_fit_table(pipeline: Any, references: np.ndarray, kept: list[Kept]) -> None:
    attempts = run_attacks(pipeline, SMALL, CAT, references, kept, 5)
    rows = [row for arm in evidence.ARMS for row in attack_rows(BrightJudge(), attempts, arm)]
    frame = evidence.table(rows)
    assert set(frame["probe"]) == set(ATTACKS) == {attack.name for attack in SMALL}
    assert set(frame["role"]) == {"target"}
    assert evidence.check(frame, 2 * sum(attack.cost for attack in SMALL)) == []
    assert sum(frame["seen"]) == 2 * sum(attempt.picture.mean() > 127 for attempt in attempts)


def test_a_black_picture_is_a_fault_of_the_row(pipeline: Any, references: np.ndarray) -> None:
    attempt = SMALL[3].attempts(pipeline, CAT, references, [], 5)[0]
    black = type(attempt)(CAT, attempt.attack, "black", 0, np.zeros_like(attempt.picture))
    faults = [row.fault for row in attack_rows(BrightJudge(), [attempt, black], "after")]
    assert faults == ["", "black picture"]


def test_a_family_with_two_encoders_is_attacked_and_left_as_it_was() -> None:
    pipeline = tiny_families.sdxl()
    before = at_rest(pipeline)
    references = np.stack(pictures(pipeline, ["a cat", "a cat"]))
    attempts = run_attacks(pipeline, SMALL, CAT, references, [Kept("a dog", references[0])], 5)
    assert len(attempts) == sum(attack.cost for attack in SMALL)
    assert at_rest(pipeline) == before


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
                assert not torch.allclose(value[0], plain[key][1 - expected], rtol=1e-2, atol=1e-3)
        for key, value in conditioning(pipeline, ["a cat", "a dog"]).items():
            torch.testing.assert_close(value, plain[key], rtol=1e-3, atol=1e-4)  # nothing is left of the swap


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


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_a_true_prediction_recovers_the_latents(kind: str) -> None:
    """Whatever is to be predicted, the scheduler's own formula takes it back to the picture."""
    pipeline = tiny.pipeline()
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)  # type: ignore[arg-type]
    scheduler.set_timesteps(1000)
    pipeline.scheduler = scheduler
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    task = noised(pipeline, latents, torch.Generator().manual_seed(1))
    for place, time in enumerate(task.times):
        _, recovered = scheduler.step(task.goal[[place]], int(time), task.noisy[[place]], return_dict=False)  # type: ignore[arg-type]
        torch.testing.assert_close(recovered[0], latents[place], rtol=1e-3, atol=1e-3)


def test_a_flow_leads_from_the_picture_to_noise() -> None:
    pipeline = tiny_families.sd3()
    latents = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    task = noised(pipeline, latents, torch.Generator().manual_seed(1))
    level = (task.times / 1000)[:, None, None, None]
    torch.testing.assert_close(task.noisy - level * task.goal, latents)
    assert sorted((task.times // 250).int().tolist()) == [0, 1, 2, 3]  # a small batch covers all noise levels
    assert noised(pipeline, latents, torch.Generator().manual_seed(1), least=0.6).times.min() >= 600


def test_an_unknown_prediction_and_family_are_refused(references: np.ndarray) -> None:
    pipeline = tiny.pipeline()
    pipeline.scheduler.register_to_config(prediction_type="score")
    with pytest.raises(UnknownArchitecture, match="v_prediction"):
        noised(pipeline, torch.zeros(1, 4, 8, 8), torch.Generator().manual_seed(0))
    wan = tiny_families.wan()
    for attack in (SMALL[0], SMALL[1], SMALL[4]):
        with pytest.raises(UnknownArchitecture, match="concept_vector"):
            attack.attempts(wan, CAT, references, [Kept("a dog", references[0])], 0)
    with pytest.raises(UnknownArchitecture, match="start_picture"):
        SMALL[3].attempts(wan, CAT, references, [], 0)


def test_noise_that_no_alphas_tell_of_is_refused_before_anything_is_trained_or_drawn() -> None:
    """A scheduler of the EDM kind predicts epsilon too, of other noise."""
    pipeline = tiny.pipeline()
    pipeline.scheduler = EDMDPMSolverMultistepScheduler(prediction_type="epsilon")
    with pytest.raises(UnknownArchitecture, match="EDMDPMSolverMultistepScheduler has no alphas_cumprod"):
        noised(pipeline, torch.zeros(1, 4, 8, 8), torch.Generator().manual_seed(0))
    with pytest.raises(UnknownArchitecture, match="EDMDPMSolverMultistepScheduler has no alphas_cumprod"):
        denoiser.check(pipeline)


def test_what_cannot_be_attacked_is_known_beforehand() -> None:
    """By family, and by what the scheduler predicts."""
    odd = tiny.pipeline()
    odd.scheduler.register_to_config(prediction_type="score")

    def refused(pipeline: Any) -> set[str]:
        found = set()
        for attack in SMALL:
            try:
                attack.check(pipeline)
            except UnknownArchitecture:
                found.add(attack.name)
        return found

    assert refused(tiny.pipeline()) == set()
    assert refused(tiny_families.unet3d()) == {"start_picture"}
    assert refused(tiny_families.wan()) == set(ATTACKS) - {"concept_vector"}
    assert refused(odd) == {"inversion", "prompt_search", "relearn"}


def test_inversion_learns(pipeline: Any, references: np.ndarray) -> None:
    """More steps denoise the references better than none, on noise that was never trained on."""
    latents = latents_of(pipeline, references)
    words = words_without(pipeline, ["cat", "a picture of the one"])[:2]

    def left(steps: int) -> float:
        vectors = Inversion(steps=steps, batch=2, wordings=1).learned(pipeline, CAT, words, references, 0)
        with embedded_as(pipeline, words, vectors), torch.no_grad():
            return np.mean([loss(pipeline, " ".join(words), latents, seed).item() for seed in range(20, 30)]).item()

    assert left(40) < left(0)


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


def test_with_little_noise_the_words_hardly_matter(pipeline: Any, references: np.ndarray) -> None:
    """Why a strength must be calibrated: the less is drawn anew, the less it says about what the model knows."""
    sampler = Sampler(steps=10, guidance=8.0)

    def said(strength: float) -> float:
        one, other = (completed(pipeline, references, prompt, strength, sampler, 0) for prompt in ("dog", "cat"))
        return abs(one.astype(float) - other).mean()

    assert said(0.1) < 0.5 * said(1.0)


def test_what_remains_is_the_share_of_starts_that_are_seen_without_words(pipeline: Any, references: np.ndarray) -> None:
    sampler, strengths, shown = Sampler(steps=10), (0.1, 1.0), []

    class Noting(BrightJudge):
        def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
            shown.append(pictures)
            return super().look(pictures, concepts, category)

    wordless = [completed(pipeline, references, "", strength, sampler, 7) for strength in strengths]
    judge = Noting(wordless[0].mean())
    found = remains(pipeline, judge, CAT, references, strengths, sampler, seed=7)
    np.testing.assert_array_equal(shown, wordless)
    assert found == {
        strength: np.mean(starts.mean((1, 2, 3)) > judge.limit)
        for strength, starts in zip(strengths, wordless, strict=True)
    }
    assert found[0.1] == 0.5, "one of two starts is brighter than the two of them"


@pytest.mark.parametrize("family", ["sd", "sd3", "flux"])
def test_a_start_is_never_noised_away_altogether(family: str) -> None:
    """Where nothing of the start were left, the attack would be the prompt alone, and withstanding it no proof."""
    model, sampler = FAMILIES[family](), Sampler(steps=4, guidance=1.0)
    ((_, picture),) = generate(model, [Shot("cat", 0)], SAMPLER)
    dark, bright = (np.full((1, *picture.shape), value, np.uint8) for value in (0, 255))
    one, other = (completed(model, start, "dog", 1.0, sampler, 0).astype(int) for start in (dark, bright))
    assert abs(one - other).max() > 0


def test_a_start_has_its_seed_whatever_the_batch(pipeline: Any, references: np.ndarray) -> None:
    whole = completed(pipeline, references, "dog", 0.5, Sampler(steps=2, batch=2), 7)
    alone = completed(pipeline, references, "dog", 0.5, Sampler(steps=2, batch=1), 7)
    assert abs(whole.astype(int) - alone.astype(int)).max() <= 1


def test_starts_that_do_not_fit_into_memory_at_once_are_completed_in_halves(
    pipeline: Any, references: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = completed(pipeline, references, "dog", 0.5, Sampler(steps=2), 7)
    memory = small_memory(monkeypatch, StableDiffusionImg2ImgPipeline, most=1)
    halved = completed(pipeline, references, "dog", 0.5, Sampler(steps=2), 7)
    assert memory.sizes[0] == len(references) > 1
    assert memory.sizes.count(1) == len(references)
    assert np.abs(whole.astype(int) - halved).max() <= 1


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


def test_what_cannot_be_attacked_soundly_is_refused(pipeline: Any, references: np.ndarray) -> None:
    relearn = SMALL[4]
    for lessons in ([], [Kept("a black Kitty", references[0]), Kept("cats", references[0])]):
        with pytest.raises(ConceptError, match="none is without the target's name"):
            relearn.attempts(pipeline, CAT, references, lessons, 0)
    with pytest.raises(ConceptError, match="reference pictures"):
        run_attacks(pipeline, SMALL, CAT, references[:0], [], 0)
    with pytest.raises(SettingError, match=r"strength 0\.01"):
        StartPicture(strengths=(0.01,))


def test_references_are_what_the_judge_sees(pipeline: Any) -> None:
    class Never(BrightJudge):
        def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
            return [Sighting(False, 0.0)] * len(pictures)

    class Always(BrightJudge):
        def look(self, pictures: np.ndarray, concepts: Sequence[str], category: str) -> list[Sighting]:
            return [Sighting(True, 1.0)] * len(pictures)

    assert len(reference_pictures(pipeline, Always(), CAT, 2, SAMPLER)) == 2
    with pytest.raises(ConceptError, match="0 of 8 pictures"):
        reference_pictures(pipeline, Never(), CAT, 2, SAMPLER)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_digest_is_the_whole_budget(name: str) -> None:
    attack: Any = ATTACKS[name]()
    for setting in fields(attack):
        other = replace(attack, **{setting.name: another(getattr(attack, setting.name))})
        assert other.digest != attack.digest, setting.name
    assert attack.drawn_by(replace(attack.sampler, batch=1)).digest == attack.digest, "it draws the same"
    assert len({attack().digest for attack in ATTACKS.values()}) == len(ATTACKS)


def another(setting: Any) -> Any:
    if isinstance(setting, bool):
        return not setting
    return replace(setting, steps=setting.steps + 1) if isinstance(setting, Sampler) else 2 * setting


def test_success_counts_what_came_without_the_attack() -> None:
    assert success_rate([True, False, False, True], [False, False, True, True]) == 0.75
    assert success_rate([False], [False]) == 0.0
    for attacked, plain in (([], []), ([True], [])):
        with pytest.raises(ValueError, match="pair up"):
            success_rate(attacked, plain)
