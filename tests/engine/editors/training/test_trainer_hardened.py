"""`hardened`: what it learns from, how model and searches learn in turns, and that a killed training goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine.editors.training import TRAINERS, train
from expunge.engine.editors.training.base import Run, Step
from expunge.engine.editors.training.checkpoints import Checkpoints
from expunge.engine.editors.training.denoiser import take
from expunge.engine.editors.training.hardened import FIRST_EDIT, HardenedSettings, _begin_at, _in_precision
from expunge.engine.editors.training.hardening.bank import Teacher, distance
from expunge.engine.editors.training.hardening.contest import Contest
from expunge.engine.editors.training.hardening.fresh_search import search, share_shown
from expunge.engine.editors.training.hardening.low_rank import add_low_rank, fold_low_rank
from expunge.engine.editors.training.hardening.material import Material, gathered
from expunge.engine.editors.training.hardening.paths import Walk, walked
from expunge.engine.editors.training.hardening.rows import RowDraws
from expunge.engine.editors.training.hardening.searchers import Searches
from expunge.engine.editors.training.hardening.wordings import kept_prompts, suspected
from expunge.engine.errors import SettingError
from expunge.engine.models.denoising import predicted
from expunge.engine.planning import closed_form
from expunge.engine.plans.edit_plan import applied, apply, undo
from expunge.engine.spec import EditSpec, Target
from tests.engine.digests import digests
from tests.engine.editors.training.trainees import HARDENED, RETAIN, TARGETS, harden, listening, noted, varied
from tests.engine.families import tiny_families

PLAINLY = partial(_in_precision, "cpu", torch.float32)
HOW = Walk(steps=2, guidance=2.0)
STYLE = EditSpec((Target("noto", ("noto",), "style"), *TARGETS), RETAIN, "hardened")


class Killed(Exception):
    """What ends a training as a lost machine would."""


def teacher(pipeline: Any, seed: int = 0) -> Teacher:
    return Teacher(pipeline, PLAINLY, torch.Generator().manual_seed(seed), Run())


def material(
    pipeline: Any, spec: EditSpec = HARDENED, kept: int = 12, pictures: int = 2, bank: int = 8, push: float = 1.0
) -> Material:
    return gathered(teacher(pipeline), spec, kept, pictures, bank, push, HOW)


def killed_at(done: int, step: Step) -> None:
    if step.stage == "training" and step.done == done:
        raise Killed


@pytest.fixture(scope="module")
def plan() -> Any:
    return harden(listening(), HARDENED)


def test_it_is_the_same_twice_and_leaves_the_pipeline_as_it_was(plan: Any) -> None:
    pipeline = listening()
    before = digests(pipeline)
    assert harden(pipeline, HARDENED).digest == plan.digest
    assert digests(pipeline) == before
    assert not any(parameter.requires_grad and parameter.grad is not None for parameter in pipeline.unet.parameters())
    assert harden(pipeline, EditSpec(TARGETS, RETAIN, "hardened", HARDENED.settings, seed=1)).digest != plan.digest


def test_its_plan_is_applied_and_undone_to_the_bit(plan: Any) -> None:
    pipeline = listening()
    before = digests(pipeline)
    state = apply(pipeline, plan)
    after = digests(pipeline)
    assert {name for name in before if before[name] != after[name]} == set(plan.deltas)
    assert any(".resnets." in name for name in plan.deltas), "it reaches beyond attention"
    undo(pipeline, state)
    assert digests(pipeline) == before


@pytest.mark.parametrize("done", [3, 5])
def test_a_killed_training_loses_at_most_one_round_and_ends_in_the_same_weights(
    plan: Any, done: int, tmp_path: Path
) -> None:
    """Killed at the end of the first round, before that was kept, and in the second."""
    with pytest.raises(Killed):
        harden(listening(), HARDENED, partial(killed_at, done), tmp_path)
    steps: list[Step] = []
    assert harden(listening(), HARDENED, steps.append, tmp_path).digest == plan.digest
    trained = [step.done for step in steps if step.stage == "training"]
    assert trained == ([1, 2, 3, 4, 5, 6] if done <= 3 else [4, 5, 6])


def test_what_was_kept_of_another_training_or_is_damaged_is_not_gone_on_from(plan: Any, tmp_path: Path) -> None:
    """The attacks: a checkpoint of other settings, of another base, and one with a byte turned."""
    with pytest.raises(Killed):
        harden(listening(), HARDENED, partial(killed_at, 5), tmp_path)
    for pipeline, spec in ((listening(), varied(HARDENED, rate=2e-3)), (listening(seed=1), HARDENED)):
        steps: list[Step] = []
        with pytest.raises(Killed):
            harden(pipeline, spec, lambda step: (steps.append(step), killed_at(1, step)), tmp_path)  # noqa: B023
        assert [step.done for step in steps if step.stage == "training"] == [1]
    (file,) = tmp_path.glob("round-*.safetensors")
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(bytes(content))
    steps = []
    assert harden(listening(), HARDENED, steps.append, tmp_path).digest == plan.digest
    assert next(step.done for step in steps if step.stage == "training") == 1


def test_a_checkpoint_is_what_was_saved_or_none(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path).of(spec="one")
    kept.save("round", {"weights": torch.arange(4.0)})
    assert kept.load("round")["weights"].tolist() == [0, 1, 2, 3]  # type: ignore[index]
    assert kept.load("other") is None
    assert Checkpoints(tmp_path).of(spec="two").load("round") is None
    next(tmp_path.iterdir()).rename(tmp_path / f"round-{Checkpoints().of(spec='two').inputs[:32]}.safetensors")
    assert Checkpoints(tmp_path).of(spec="two").load("round") is None, "renamed, it is still of the other inputs"
    Checkpoints().save("round", {})
    assert Checkpoints().load("round") is None


def contest(pipeline: Any, own: Material, **settings: Any) -> Contest:
    """Of a student that begins at the closed form."""
    student = type(pipeline)(**pipeline.components)
    student.unet = listening().unet.requires_grad_(False)
    _begin_at(student, closed_form.plan(pipeline, EditSpec(TARGETS, RETAIN, FIRST_EDIT)))
    draws = torch.Generator().manual_seed(2)
    searches = Searches(pipeline, HARDENED.erased, len(TARGETS), 0.2, 4, draws)
    weights = [weight.requires_grad_(True) for weight in student.unet.parameters()]
    rows = RowDraws(own, take(own.conditions, [0]), draws)
    how = HardenedSettings(**{"searchers": 2, "batch": 4, "rate": 1e-3, "average": 0.0, **settings})
    return Contest(student, weights, rows, searches, how, PLAINLY, 1)


@torch.no_grad()
def missed(student: Any, own: Material) -> float:
    """How far the targets' rows, asked by name, are from their goals."""
    told = take(own.conditions, [int(own.names[int(target)][0]) for target in own.bank.target])
    return distance(predicted(student, own.bank.noisy, own.bank.times, told), own.bank.goal).mean().item()


def test_the_model_learns_the_goals_and_keeps_what_it_said_of_the_rest() -> None:
    pipeline = listening()
    own = material(pipeline)
    fight = contest(pipeline, own)
    before = missed(fight.student, own)
    for _ in range(12):
        fight.step()
    assert missed(fight.student, own) < 0.7 * before
    strict = contest(pipeline, own, keep=100.0)
    for _ in range(12):
        strict.step()
    rows = strict.rows.kept(24)
    with torch.no_grad():
        drift = [
            distance(predicted(fought.student, rows.noisy, rows.times, rows.words), rows.goal).mean().item()
            for fought in (fight, strict)
        ]
    assert drift[1] < 0.7 * drift[0], "what is kept is kept better for a larger weight"


def test_a_searcher_learns_words_that_denoise_the_target_and_the_model_unlearns_them() -> None:
    pipeline = listening()
    own = material(pipeline)
    fight = contest(pipeline, own, rate=0.0)
    searcher = fight.searches.begin_with(0, 2, 30)
    start = {name: rows.detach().clone() for name, rows in searcher.vectors.items()}
    losses: list[float] = []
    asking = Teacher(pipeline, PLAINLY, torch.Generator().manual_seed(3), Run(partial(noted, losses)))
    search(pipeline, RowDraws(own, take(own.conditions, [0]), asking.draws), [searcher], asking)
    assert sum(losses[-10:]) < sum(losses[:10])
    assert all(not torch.equal(start[name], rows) for name, rows in searcher.vectors.items())
    assert searcher.done == searcher.life


def test_searches_side_by_side_find_what_each_finds_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = listening()
    own = material(pipeline)
    rows = (own.bank.target == 0).nonzero()[:4, 0]
    monkeypatch.setattr(RowDraws, "attacked", lambda *_: rows)
    monkeypatch.setattr(RowDraws, "wording", lambda self, target: self.material.wordings[target][0])

    def found(*chosen: int) -> list[torch.Tensor]:
        searches = Searches(pipeline, HARDENED.erased, 2, 0.2, 4, torch.Generator().manual_seed(0))
        both = [searches.begin_with(0, words, life) for words, life in ((1, 3), (2, 5))]
        asking = teacher(pipeline)
        drawn = RowDraws(own, take(own.conditions, [0]), asking.draws)
        search(pipeline, drawn, [both[place] for place in chosen], asking)
        return [rows for place in chosen for rows in both[place].vectors.values()]

    together, alone = found(0, 1), [*found(0), *found(1)]
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(together, alone, strict=True))


def test_words_whose_life_is_over_are_trained_against_and_others_begin() -> None:
    fight = contest(pipeline := listening(), material(pipeline))
    first = list(fight.live)
    for _ in range(4):
        fight.step()
    assert [target for target, _ in fight.rows.found] == [first[0].target, first[1].target]
    assert fight.searches.begun == 4
    assert {own.target for own in fight.live} == {0, 1}, "every target is searched for"


def test_the_average_takes_the_place_of_the_weights_at_the_end_of_a_round() -> None:
    fight = contest(pipeline := listening(), material(pipeline), average=0.9)
    for _ in range(3):
        fight.step()
    average = [own.clone() for own in fight.average]
    assert not torch.equal(average[0], fight.weights[0])
    fight.settle()
    assert all(torch.equal(own, weight) for own, weight in zip(average, fight.weights, strict=True))


def test_batches_that_are_accumulated_are_one_step_of_the_model_and_many_of_the_searchers() -> None:
    fight = contest(pipeline := listening(), material(pipeline), accumulate=3)
    fight.step()
    assert sum(own.done for own in fight.live) == 6, "searchers step with every batch"
    assert fight.done == 1


def test_the_states_of_a_path_come_with_what_the_model_says_of_them() -> None:
    pipeline = listening()
    own = material(pipeline)
    told = take(own.conditions, own.spoken[:3].tolist())
    paths = walked(pipeline, told, HOW, torch.Generator().manual_seed(1), "", Run(), PLAINLY)
    for state in range(HOW.steps):
        said = predicted(pipeline, paths.states[:, state], paths.times[:, state], told)
        assert torch.allclose(said, paths.said[:, state], atol=1e-5)
        nothing = take(own.conditions, [0] * 3)
        assert torch.allclose(
            predicted(pipeline, paths.states[:, state], paths.times[:, state], nothing),
            paths.unsaid[:, state],
            atol=1e-5,
        )
    assert (paths.times[:, 0] > paths.times[:, 1]).all()


def test_words_that_draw_a_target_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attack: a synonym that the policy does not list. Here `kitty` is made to say what `cat` says."""
    pipeline = listening()
    table = pipeline.text_encoder.get_input_embeddings().weight
    one, other = (pipeline.tokenizer(name, add_special_tokens=False)["input_ids"][0] for name in ("cat", "kitty"))
    with torch.no_grad():
        table[other] = table[one] + 1e-4
    stay = kept_prompts(pipeline, HARDENED, 600, torch.Generator().manual_seed(0))
    place = next(number for number, own in enumerate(stay) if own.word == "kitty")
    texts = [own.text for own in stay]
    assert suspected(TARGETS[0], stay[place]) == stay[place].text.replace("kitty", "cat")
    monkeypatch.setattr("expunge.engine.editors.training.hardening.material.kept_prompts", lambda *_: stay)
    found = gathered(teacher(pipeline), HARDENED, 600, 2, 8, 1.0, HOW)
    kept = {texts[int(number)] for group in found.groups for number in group}
    assert len(kept) > 10
    assert {text for text in texts if "kitty" in text} - kept, "no picture of it is kept for certain"


def test_the_goal_is_the_anchor_or_silence_and_as_far_again_from_the_target_as_is_pushed() -> None:
    pipeline = listening()
    for push in (0.0, 0.5):
        own = material(pipeline, bank=40, push=push)
        bank = own.bank
        for number, target in enumerate(HARDENED.targets):
            rows = bank.target == number
            unsaid = predicted(
                pipeline, bank.noisy[rows], bank.times[rows], take(own.conditions, [0] * int(rows.sum()))
            )
            assert torch.allclose(unsaid, bank.unsaid[rows], atol=1e-5)
            moved = distance(bank.goal[rows], bank.unsaid[rows])
            if target.anchor:
                assert (moved > 1e-6).all(), "it becomes a boat"
            else:
                assert ((moved > 1e-7) == (push > 0)).all()


def test_a_style_is_drawn_on_things() -> None:
    own = material(listening(), STYLE)
    texts = [wording.text for wording in own.wordings[[target.id for target in STYLE.targets].index("noto")]]
    assert any(text.startswith("the ") and text.endswith(" in noto style") for text in texts)


def test_a_fresh_search_that_finds_the_target_is_told_by_the_unedited_model() -> None:
    pipeline = listening()
    own = material(pipeline)
    searcher = Searches(pipeline, HARDENED.erased, 2, 0.2, 4, torch.Generator().manual_seed(0)).begin_with(0, 1, 1)
    share = share_shown(teacher(pipeline), pipeline, own, searcher, HOW)
    assert 0 <= share <= 1


def test_products_of_low_rank_are_folded_into_the_weights() -> None:
    plan = harden(listening(), varied(HARDENED, rank=2, parameters="cross-attention", rounds=1))
    base = dict(listening().unet.named_parameters())
    assert plan.deltas
    assert all(".attn2." in name for name in plan.deltas)
    query = next(name for name in plan.deltas if name.endswith("attn2.to_q.weight"))  # no closed form reaches it
    assert torch.linalg.matrix_rank(plan.deltas[query], atol=1e-6) <= 2
    assert plan.deltas[query].shape == base[query.removeprefix("unet.")].shape
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.Linear(4, 5))
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    made = add_low_rank(network, 2, torch.Generator().manual_seed(0))
    assert len(made) == 4
    fold_low_rank(network)
    assert all(torch.equal(before[name], weight) for name, weight in network.state_dict().items())


def test_it_trains_in_half_precision_in_less_memory_and_on_stable_diffusion_xl() -> None:
    short = {"rounds": 1, "iterations": 1}
    exact = harden(listening(), varied(HARDENED, precision="float32", **short))
    twice = harden(listening(), varied(HARDENED, precision="float32", checkpointing=True, **short))
    assert exact.deltas.keys() == twice.deltas.keys()
    narrow = varied(HARDENED, parameters="cross-attention", **short)
    reached = harden(tiny_families.sdxl(), narrow).deltas
    assert reached
    assert all(map(TRAINERS["hardened"].declared(HardenedSettings(parameters="cross-attention")), reached))
    half = listening().to(torch.bfloat16)
    before = digests(half)
    plan = harden(half, varied(HARDENED, **short))
    with applied(half, plan):
        pass
    assert digests(half) == before


def test_without_a_closed_form_to_begin_at_it_is_refused() -> None:
    with pytest.raises(SettingError, match=r"begins at scapre is planned by expunge\.engine\.planning\.make"):
        train(listening(), HARDENED)


def test_too_few_pictures_to_keep_are_refused() -> None:
    with pytest.raises(SettingError, match=r"hardened\.kept is 2; keep at least 3 pictures"):
        harden(listening(), varied(HARDENED, kept=2))
    with pytest.raises(SettingError, match=r"hardened\.batch is 0"):
        harden(listening(), varied(HARDENED, batch=0))
