"""SalUn changes the weights that matter most to what is forgotten, and holds what is kept."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from expunge.engine.editors.training import salun, train
from expunge.engine.editors.training.base import Run
from expunge.engine.editors.training.denoiser import chosen, ddim, noise_like_latents, read, take, unconditional, walk
from expunge.engine.editors.training.salun import Drawn, SalunSettings
from expunge.engine.models.denoising import noised, predicted
from expunge.engine.plans.edit_plan import EditPlan, applied
from expunge.engine.spec import EditSpec, Retain, Target
from tests.engine.editors.training.trainees import GENTLE, RETAIN, SALUN, TARGETS, answer, listening, varied


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_the_mask_holds_the_weights_on_which_the_loss_of_what_is_forgotten_depends_most(share: float) -> None:
    """In float64, where no rounding changes the order."""
    pipeline = listening()
    pipeline.unet.double()
    weights = chosen(pipeline.unet, "full")
    told = read(pipeline, ["cat", "car", "boat"])
    latents = noise_like_latents(pipeline.unet, 6, torch.Generator().manual_seed(2)).double()
    names = [0, 1, 0, 1, 0, 1]
    forgotten = Drawn(latents, take(told, names), take(told, [2] * 6))
    settings = SalunSettings(share=share, pictures=6, batch=4)
    mask = salun.salient(pipeline, weights, forgotten, settings, torch.Generator().manual_seed(3))

    draws, loss = torch.Generator().manual_seed(3), torch.zeros((), dtype=torch.float64)
    for part in (slice(0, 4), slice(4, 6)):
        task = noised(pipeline, latents[part], draws)
        states = told["prompt_embeds"][names[part]].double()
        output = pipeline.unet(task.noisy, task.times, encoder_hidden_states=states).sample
        loss = loss + (output - task.goal).square().mean()
    slopes = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    sizes = [torch.zeros_like(w) if s is None else s.abs() for w, s in zip(weights.values(), slopes, strict=True)]
    everything = torch.cat([size.flatten() for size in sizes])
    most = everything.argsort(descending=True)[: round(share * len(everything))]
    wanted = torch.zeros_like(everything).index_fill(0, most, 1)
    assert list(mask) == list(weights)
    assert torch.equal(torch.cat([part.flatten() for part in mask.values()]), wanted)
    assert all(mask[name].shape == weight.shape for name, weight in weights.items())


def test_salun_changes_nothing_outside_its_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    masks: dict[str, Tensor] = {}

    def watched(*args: Any) -> dict[str, Tensor]:
        masks.update(salun_mask(*args))
        return masks

    salun_mask = salun.salient
    monkeypatch.setattr(salun, "salient", watched)
    changed = train(listening(), varied(SALUN, epochs=1, steps=2, share=0.25)).deltas
    assert changed
    for name, delta in changed.items():
        assert not delta[masks[name.removeprefix("unet.")] == 0].any()
    assert sum(int((delta != 0).sum()) for delta in changed.values()) > 0.9 * sum(int(m.sum()) for m in masks.values())


def test_salun_draws_each_target_and_mistakes_it_for_its_anchor_or_else_for_what_is_kept() -> None:
    targets = (Target("cat", ("cat", "kitty")), Target("car", ("car",), anchor="boat"), Target("cup", ("cup",)))
    forget, keep = salun.rows(EditSpec(targets, RETAIN, "salun"), SalunSettings(pictures=8, batch=4))
    assert forget == [
        ("car", "boat"),
        ("cat", "tree"),
        ("cup", "dog"),
        ("car", "boat"),
        ("kitty", "dog"),
        ("cup", "tree"),
        ("car", "boat"),
        ("cat", "tree"),
    ]
    assert keep == [("dog", "dog"), ("tree", "tree")] * 4
    alone = salun.rows(EditSpec(targets, (), "salun"), SalunSettings(pictures=4, batch=4))
    assert alone == ([("car", "boat"), ("cat", ""), ("cup", ""), ("car", "boat")], [("", "")] * 4)


def test_salun_mistakes_a_target_for_all_that_is_kept_by_turns() -> None:
    """However many there are of both: with as many, each would else be mistaken for one alone."""
    targets = (Target("cat", ("cat",)), Target("cup", ("cup",)))
    forget, _ = salun.rows(EditSpec(targets, RETAIN, "salun"), SalunSettings(pictures=8, batch=4))
    assert {name: {instead for text, instead in forget if text == name} for name in ("cat", "cup")} == {
        "cat": {"dog", "tree"},
        "cup": {"dog", "tree"},
    }


def test_salun_keeps_every_concept_as_often_whatever_it_is_called_and_however_many_there_are() -> None:
    """A concept of three names weighs no more than one of one, and none is left out."""
    retain = (Retain("dog", ("dog", "puppy", "hound")), Retain("tree", ("tree",)))
    _, keep = salun.rows(EditSpec(TARGETS, retain, "salun"), SalunSettings(pictures=12, batch=4))
    told = [text for text, _ in keep]
    assert [told.count(name) for name in ("dog", "puppy", "hound", "tree")] == [2, 2, 2, 6]
    many = tuple(Retain(f"thing-{n}", (f"thing {n}",)) for n in range(10))
    _, keep = salun.rows(EditSpec(TARGETS, many, "salun"), SalunSettings(pictures=10, batch=4, bare=False))
    assert all(any(concept.names[0] in text for text, _ in keep) for concept in many)


def test_salun_words_target_and_anchor_alike_where_names_are_not_to_stand_alone() -> None:
    spec = EditSpec(TARGETS[1:], RETAIN[:1], "salun")
    forget, keep = salun.rows(spec, SalunSettings(pictures=40, bare=False))
    assert all(text.replace("car", "boat") == instead != text for text, instead in forget)
    assert all(text == twice and "dog" in text for text, twice in keep)
    assert {text.replace("car", "dog") for text, _ in forget} == {text for text, _ in keep}
    assert len({text for text, _ in keep}) > 3


def test_mistaking_moves_the_targets_prediction_and_not_its_aim() -> None:
    """The value by its own arithmetic, and the slope that it has while the other prediction is held fixed."""
    pipeline = listening()
    weights = chosen(pipeline.unet, "cross-attention")
    told = read(pipeline, ["cat", "boat"])
    latents = noise_like_latents(pipeline.unet, 2, torch.Generator().manual_seed(4))
    drawn = Drawn(latents, take(told, [0, 0]), take(told, [1, 1]))
    loss = salun.misled(pipeline, drawn, torch.Generator().manual_seed(6))
    task = noised(pipeline, latents, torch.Generator().manual_seed(6))
    aim = answer(pipeline, task.noisy, task.times, "boat")
    states = told["prompt_embeds"][[0, 0]]
    wanted = (pipeline.unet(task.noisy, task.times, encoder_hidden_states=states).sample - aim).square().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    found, expected = (torch.autograd.grad(one, list(weights.values())) for one in (loss, wanted))
    far = torch.cat([(one - other).flatten() for one, other in zip(found, expected, strict=True)]).norm()
    assert far < 1e-3 * torch.cat([one.flatten() for one in expected]).norm()


def moved(plan: EditPlan, name: str, towards: str) -> tuple[float, float]:
    """How far the model under a name is from the untouched one under another, before and after, in mean square."""
    pipeline, time = listening(), torch.tensor(500)
    noisy = noise_like_latents(pipeline.unet, 8, torch.Generator().manual_seed(5))
    aim, before = (answer(pipeline, noisy, time, one) for one in (towards, name))
    with applied(pipeline, plan):
        after = answer(pipeline, noisy, time, name)
    return (before - aim).square().mean().item(), (after - aim).square().mean().item()


def test_salun_lets_each_target_pass_for_its_anchor() -> None:
    targets = (Target("cat", ("cat",), anchor="boat"), Target("car", ("car",), anchor="boat"))
    made = train(listening(), EditSpec(targets, RETAIN, "salun", {**GENTLE, "beta": 0.0}))
    for name in ("cat", "car"):
        before, after = moved(made, name, "boat")
        assert after < 0.6 * before


def test_salun_holds_what_is_kept_by_beta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the untouched model right about all noise, the keeping term would be how far it has been left behind: at a
    large weight what is said of kept names then hardly moves. The draws are the same."""
    untouched = listening()

    def left_behind(student: Any, task: Any, told: Any) -> Tensor:
        with torch.no_grad():
            right = predicted(untouched, task.noisy, task.times, told)
        return (predicted(student, task.noisy, task.times, told) - right).square().flatten(1).mean(1)

    monkeypatch.setattr(salun, "errors", left_behind)
    free, held = (train(listening(), varied(SALUN, **GENTLE, beta=beta)) for beta in (0.0, 100.0))
    for name in ("dog", "tree"):
        _, freely = moved(free, name, name)
        assert moved(held, name, name)[1] < 0.3 * freely


def test_salun_draws_pictures_under_the_first_name_of_each_pair() -> None:
    pipeline = listening()
    scheduler, settings = ddim(pipeline, 2), SalunSettings(steps=2, guidance=4.0)
    pairs, draws = [("cat", "boat"), ("car", "dog")], torch.Generator().manual_seed(7)
    found = salun.draw(pipeline, scheduler, pairs, settings, draws, "pictures", Run())
    noise = noise_like_latents(pipeline.unet, 2, torch.Generator().manual_seed(7))
    names, others = read(pipeline, ["cat", "car"]), read(pipeline, ["boat", "dog"])
    wanted = walk(pipeline, scheduler, names, unconditional(pipeline, 2), noise, 4.0)
    assert torch.allclose(found.latents, wanted, rtol=1e-4, atol=1e-5)
    assert torch.allclose(found.said["prompt_embeds"], names["prompt_embeds"], atol=1e-5)
    assert torch.allclose(found.instead["prompt_embeds"], others["prompt_embeds"], atol=1e-5)


def test_salun_misleads_on_pictures_to_forget_and_learns_those_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole rows: a picture, what it was drawn under and what it is to pass for."""
    seen: dict[str, list[Drawn]] = {"draw": [], "misled": [], "learnt": []}

    def watched(name: str, *args: Any) -> Any:
        made = own[name](*args)
        seen[name].append(made if name == "draw" else args[1])
        return made

    own = {name: getattr(salun, name) for name in seen}
    for name in seen:
        monkeypatch.setattr(salun, name, partial(watched, name))
    train(listening(), varied(SALUN, **{**GENTLE, "epochs": 1}))
    forgotten, kept = (rows_of(drawn) for drawn in seen["draw"])
    assert forgotten.isdisjoint(kept)
    masking, learning = seen["learnt"][:2], seen["learnt"][2:]
    for parts, wanted in ((masking, forgotten), (seen["misled"], forgotten), (learning, kept)):
        assert set().union(*(rows_of(part) for part in parts)) == wanted


def rows_of(drawn: Drawn) -> set[tuple[Any, ...]]:
    columns = (drawn.latents, drawn.said["prompt_embeds"], drawn.instead["prompt_embeds"])
    return {tuple(row.numpy().tobytes() for row in rows) for rows in zip(*columns, strict=True)}
