"""What each editor's objective promises holds, and does not hold without the part that promises it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from expunge.engine.editors import ConceptEmbeddings, Moments, editor_named, settings_for
from expunge.engine.editors.scapre import informax
from expunge.engine.errors import SettingError
from tests.engine.draws import draw

D, ROWS = 16, 24


X, Y, KEPT, WORDS = draw(3, D, seed=1), draw(3, D, seed=2), draw(4, D, seed=3), draw(5, D, seed=4)
WEIGHTS = {"to_k": draw(ROWS, D, seed=5), "to_v": draw(ROWS, D, seed=6)}
KINDS = {"to_k": "key", "to_v": "value"}
CONCEPTS = ConceptEmbeddings(
    targets=Moments.of(X, Y),
    retain=Moments.of(KEPT),
    general=Moments.of(WORDS),
    subjects=X,
    neutral=Y,
    concept=torch.tensor([0, 0, 1]),
    lookalikes=KEPT,
)
STRENGTH = {"scapre": "strength", "uce": "erase_scale"}
RETAIN = {"scapre": "retain", "uce": "preserve_scale"}
EDITORS = pytest.mark.parametrize("editor", ["scapre", "uce"])


def planned(editor: str, **settings) -> dict[str, torch.Tensor]:
    chosen = editor_named(editor)
    return chosen.plan(WEIGHTS, KINDS, CONCEPTS, settings_for(chosen, settings))


def moved(deltas: dict[str, torch.Tensor], rows: torch.Tensor) -> float:
    """The largest relative change of what the projections give for `rows`."""
    return max(((deltas[n] @ rows.T).norm() / (WEIGHTS[n] @ rows.T).norm()).item() for n in deltas)


def test_the_default_is_uce_on_the_same_tokens_at_the_same_weights_and_with_a_mask_it_is_not():
    tau = torch.cat([X, Y]).square().mean().item()
    same = {"erase_scale": 12.0, "preserve_scale": 6.0, "general": 60.0, "general_words": 2000, "lamb": tau}
    theirs = planned("uce", **same)

    def apart(**settings: float) -> float:
        ours = planned("scapre", **settings)
        return max(((ours[name] - theirs[name]).norm() / theirs[name].norm()).item() for name in theirs)

    assert apart() < 1e-12
    assert apart(informax=1.0) > 0.01


@EDITORS
def test_no_strength_is_no_change(editor: str):
    deltas = planned(editor, **{STRENGTH[editor]: 0.0})
    assert all(torch.equal(delta, torch.zeros_like(delta)) for delta in deltas.values())
    assert moved(planned(editor), X) > 0.1


@EDITORS
def test_targets_become_their_anchors_as_strength_grows(editor: str):
    def left(strength: float) -> float:
        deltas = planned(editor, **{STRENGTH[editor]: strength})
        return max(((WEIGHTS[n] + deltas[n]) @ X.T - WEIGHTS[n] @ Y.T).norm().item() for n in deltas)

    errors = [left(10.0**power) for power in (0, 3, 6, 9)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6 < 0.1 < errors[0]


@EDITORS
def test_what_is_retained_is_held_and_moves_where_it_is_not(editor: str):
    """The retained rows' error falls as 1/r."""
    held = planned(editor, **{RETAIN[editor]: 1e9, STRENGTH[editor]: 10.0})
    free = planned(editor, **{RETAIN[editor]: 0.0, "general": 0.0, STRENGTH[editor]: 10.0})
    assert moved(held, KEPT) < 1e-6
    assert moved(free, KEPT) > 0.05
    assert moved(held, X) > 0.1


@EDITORS
def test_the_models_own_words_are_held_by_their_weight(editor: str):
    assert moved(planned(editor, general=1e9, general_words=5), WORDS) < 1e-6
    assert moved(planned(editor, general=0.0), WORDS) > 0.05


def test_uce_is_its_published_formula():
    lam, s, r = 0.5, 2.0, 3.0
    left = lam * torch.eye(D, dtype=torch.float64) + s * X.T @ X + r * KEPT.T @ KEPT
    deltas = planned("uce", lamb=lam, erase_scale=s, preserve_scale=r)
    for name, w0 in WEIGHTS.items():
        right = lam * w0 + s * (w0 @ Y.T) @ X + r * (w0 @ KEPT.T) @ KEPT
        assert torch.allclose(w0 + deltas[name], right @ torch.linalg.inv(left), atol=1e-10)


def test_scapre_minimises_its_objective_row_by_row():
    settings = {"strength": 5.0, "retain": 2.0, "general": 3.0, "informax": 2.0, "ridge": 0.1}
    deltas = planned("scapre", **settings)
    unit = torch.cat([X, Y]).square().mean()
    held = 2 * KEPT.T @ KEPT + 3 * WORDS.T @ WORDS + 0.1 * unit * torch.eye(D, dtype=torch.float64)
    for name, w0 in WEIGHTS.items():
        mask = informax(w0, CONCEPTS, 2.0)
        for i in range(ROWS):
            system = held + 5 * mask[i] * X.T @ X
            row = torch.linalg.solve(system, held @ w0[i] + 5 * mask[i] * X.T @ (Y @ w0[i]))
            assert torch.allclose(w0[i] + deltas[name][i], row, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("targets", "streams", "weight"), [(20, 1, 5.0), (21, 1, 5.25), (60, 1, 15.0), (120, 2, 15.0)])
def test_the_vocabulary_weighs_more_from_twenty_targets_on(targets: int, streams: int, weight: float):
    """However many text streams tell of a target, it is one; the moments are the same in all of these."""
    chosen = editor_named("scapre")
    many = replace(CONCEPTS, concept=torch.arange(targets), streams=streams)
    found = chosen.plan(WEIGHTS, KINDS, many, settings_for(chosen, {"general": 5.0}))
    wanted, other = planned("scapre", general=weight), planned("scapre", general=weight + 0.1)
    for name in found:
        assert torch.allclose(found[name], wanted[name], rtol=1e-12, atol=1e-12)
        assert not torch.allclose(found[name], other[name], rtol=1e-6)


def test_a_row_that_knows_nothing_of_the_target_is_left_alone():
    mixed = torch.cat([torch.zeros(1, D, dtype=torch.float64), WEIGHTS["to_v"]])
    mixed[0, -1] = 1.0  # reads one component, in which target, anchor and look-alike are made equal
    level = [rows.clone() for rows in (X, Y, KEPT)]
    for rows in level:
        rows[:, -1] = 1.0
    seen = replace(CONCEPTS, subjects=level[0], neutral=level[1], lookalikes=level[2])
    chosen = editor_named("scapre")
    delta = chosen.plan({"to_v": mixed}, KINDS, seen, settings_for(chosen, {"informax": 1.0}))["to_v"]
    unmasked = chosen.plan({"to_v": mixed}, KINDS, seen, settings_for(chosen, {"informax": 0.0}))["to_v"]
    assert torch.equal(delta[0], torch.zeros(D, dtype=torch.float64))
    assert unmasked[0].norm() > 0.01
    assert delta[1:].norm() > 0.1


def test_lookalikes_lower_the_information_of_rows_that_cannot_tell_them_apart():
    """A row along what target and look-alike share separates the target from the anchor but not from the look-alike."""
    shared, own = torch.eye(D, dtype=torch.float64)[0], torch.eye(D, dtype=torch.float64)[1]
    noise = 0.01 * draw(40, D, seed=8)
    target, near, neutral = shared + own + noise, shared + noise.flip(0), 0.01 * draw(40, D, seed=9)
    concept = torch.zeros(40, dtype=torch.long)
    seen = replace(CONCEPTS, subjects=target, neutral=neutral, concept=concept, lookalikes=near)
    rows = torch.stack([shared, own])
    with_twins, without = informax(rows, seen, 1.0), informax(rows, replace(seen, lookalikes=near[:0]), 1.0)
    assert with_twins[1] == 1.0
    assert with_twins[0] < 0.5
    assert without[0] > 0.99


def bures_squared(a: torch.Tensor, b: torch.Tensor) -> float:
    """The paper's L_g, by matrix square roots."""
    first, second = (a @ a.T).numpy(), (b @ b.T).numpy()
    root = np.real(scipy.linalg.sqrtm(first))
    cross = np.real(scipy.linalg.sqrtm(root @ second @ root))
    return first.trace() + second.trace() - 2 * cross.trace()


def test_each_turn_of_geometry_lowers_the_objective_under_a_mask():
    """The mask weighs the distance too, so the best rotation is that of the weighed rows."""
    fixed = {"strength": 30.0, "informax": 3.0, "geometry": 300.0}

    def objective(turns: int) -> float:
        deltas = planned("scapre", **fixed, geometry_turns=turns)
        settings: Any = settings_for(editor_named("scapre"), fixed)
        total = 0.0
        unit = torch.cat([X, Y]).square().mean().item()
        for name, w0 in WEIGHTS.items():
            mask, d = informax(w0, CONCEPTS, 3.0)[:, None], deltas[name]
            evidence = (mask * ((w0 + d) @ X.T - w0 @ Y.T).square()).sum()
            held = settings.retain * (d @ KEPT.T).square().sum() + settings.general * (d @ WORDS.T).square().sum()
            distance = bures_squared(mask.sqrt() * (w0 + d), mask.sqrt() * w0)
            total += 30 * evidence + held + unit * (settings.ridge * d.square().sum() + 300 * distance)
        return float(total)

    assert min(informax(w0, CONCEPTS, 3.0).min() for w0 in WEIGHTS.values()) < 0.2, "rows differ"
    values = [objective(turns) for turns in (1, 2, 4, 8, 16)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] * (1 + 1e-9)


def test_geometry_alignment_lowers_the_papers_distance_within_the_objective():
    def objective(deltas: dict, g: float) -> float:
        unit = torch.cat([X, Y]).square().mean().item()
        total = 0.0
        for name, w0 in WEIGHTS.items():
            w, d = w0 + deltas[name], deltas[name]
            total += 30 * (w @ X.T - w0 @ Y.T).square().sum() + 10 * (d @ KEPT.T).square().sum()
            total += 10 * (d @ WORDS.T).square().sum() + 0.01 * unit * d.square().sum()
            total += g * unit * bures_squared(w, w0)
        return float(total)

    weights = {"strength": 30.0, "retain": 10.0, "general": 10.0, "ridge": 0.01, "informax": 0.0, "spectral": 0.0}
    plain = planned("scapre", **weights)
    turns = [planned("scapre", **weights, geometry=20.0, geometry_turns=n) for n in (1, 4, 40)]
    values = [objective(deltas, 20.0) for deltas in (plain, *turns)]
    assert values == sorted(values, reverse=True)
    distance = [sum(bures_squared(WEIGHTS[n] + deltas[n], WEIGHTS[n]) for n in deltas) for deltas in (plain, turns[-1])]
    assert distance[1] < 0.9 * distance[0]


def test_the_spectral_part_holds_each_direction_by_how_weak_it_is():
    """R = U diag(1 - sigmoid((e - median e) / median e)) U^T of X - Y, written out, as one more held term."""
    deltas = planned("scapre", strength=5.0, retain=0.0, general=0.0, informax=0.0, ridge=0.1, spectral=7.0)
    unit = torch.cat([X, Y]).square().mean()
    energy, directions = np.linalg.svd((X - Y).numpy(), full_matrices=False)[1:]
    weak = 1 - 1 / (1 + np.exp(-(energy / np.median(energy) - 1)))
    R = torch.tensor((directions.T * weak) @ directions)
    held = unit * (0.1 * torch.eye(D, dtype=torch.float64) + 7 * R)
    for name, w0 in WEIGHTS.items():
        wanted = torch.linalg.solve(held + 5 * X.T @ X, (held + 5 * X.T @ Y) @ w0.T).T
        assert torch.allclose(w0 + deltas[name], wanted, rtol=1e-9, atol=1e-9)
    plain = planned("scapre", strength=5.0, retain=0.0, general=0.0, informax=0.0, ridge=0.1)
    kept = [moved(deltas, torch.tensor(one[None])) / moved(plain, torch.tensor(one[None])) for one in directions]
    assert kept[-1] < 0.9 * kept[0]


def test_a_name_that_is_given_twice_holds_no_direction_more():
    """Differences that say the same leave singular values of nothing, whose directions are anybody's."""
    twice = replace(
        CONCEPTS, subjects=X.repeat(2, 1), neutral=Y.repeat(2, 1), concept=torch.tensor([0, 0, 1] * 2), lookalikes=KEPT
    )
    settings = settings_for(editor_named("scapre"), {"strength": 5.0, "spectral": 7.0})
    once, again = (editor_named("scapre").plan(WEIGHTS, KINDS, seen, settings) for seen in (CONCEPTS, twice))
    # each value is larger by the root of 2, and so is their median
    assert all(torch.allclose(once[name], again[name], rtol=1e-9, atol=1e-12) for name in once)
    none_apart = replace(CONCEPTS, neutral=X)
    idle = editor_named("scapre").plan(WEIGHTS, KINDS, none_apart, replace(settings, spectral=0.0))
    assert all((editor_named("scapre").plan(WEIGHTS, KINDS, none_apart, settings)[n] == idle[n]).all() for n in idle)


def test_a_weight_of_words_that_are_not_read_is_refused_unless_it_is_the_default():
    assert settings_for(editor_named("scapre"), {"general_words": 0})
    with pytest.raises(SettingError, match=r"general is 20\.0, the weight of words of which general_words reads none"):
        settings_for(editor_named("scapre"), {"general_words": 0, "general": 20.0})


@EDITORS
def test_settings_that_do_not_exist_or_cannot_be_are_refused(editor: str):
    strength = STRENGTH[editor]
    with pytest.raises(SettingError, match=f"did you mean '{strength}'.*known: tokens"):
        planned(editor, **{strength[:-1]: 1.0})
    for value in (float("nan"), -1.0, "much", True):
        with pytest.raises(SettingError, match=f"{editor}.{strength}"):
            planned(editor, **{strength: value})
    with pytest.raises(SettingError, match="all, tail, last"):
        planned(editor, tokens="some")


def test_an_unknown_editor_lists_the_known():
    with pytest.raises(SettingError, match=r"did you mean 'scapre'.*known: mace-cfr, oce"):
        editor_named("scapr")


def test_an_editor_that_trains_is_told_where_it_can_be_had() -> None:
    with pytest.raises(
        SettingError, match=r"'esd' is none in closed form \(expunge.engine.planning.make.make takes any\); known: mace"
    ):
        editor_named("esd")
