"""What the objectives of the published editors promise holds, and does not hold where its condition is taken away."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from engine.deltas import applied, plan
from engine.editors import ConceptEmbeddings, Moments, checked_settings, editor_named, oce, settings_for, speed
from engine.editors.base import Rows
from engine.editors.mace import surrounding
from engine.editors.oce import rotation
from engine.editors.rece import evoking
from engine.editors.speed import influenced, invariants, quantiles
from engine.errors import EditError, SettingError
from engine.spec import EditSpec, Retain, Target
from engine.training import TRAINERS, esd
from tests.engine import tiny
from tests.engine.draws import draw

D, ROWS = 16, 24
PUBLISHED = ("rece", "speed", "oce", "mace-cfr")


X, Y, KEPT, WORDS, EMPTY = (draw(n, D, seed=n) for n in (3, 2, 4, 5, 6))
Y = Y[[0, 0, 1]]  # the first target has two wordings and one anchor
AROUND, AROUND_Y = draw(6, D, seed=7), draw(6, D, seed=8)
WEIGHTS = {"to_k": draw(ROWS, D, seed=9), "to_v": draw(ROWS, D, seed=10), "narrow.to_v": draw(8, D, seed=11)}
KINDS = {"to_k": "key", "to_v": "value", "narrow.to_v": "value"}
SHARES = torch.tensor([0.5, 0.5, 1.0], dtype=torch.float64)
CONCEPTS = ConceptEmbeddings(
    targets=Moments.of(X, Y, SHARES),
    retain=Moments.of(KEPT),
    general=Moments.of(WORDS, weights=torch.full((5,), 0.2)),
    subjects=X,
    neutral=Y,
    concept=torch.tensor([0, 0, 1]),
    lookalikes=KEPT,
    empty=EMPTY,
    kept=Rows(KEPT, torch.ones(4, dtype=torch.float64)),
)


def planned(editor: str, concepts: ConceptEmbeddings = CONCEPTS, **settings) -> dict[str, torch.Tensor]:
    chosen = editor_named(editor)
    return chosen.plan(WEIGHTS, KINDS, concepts, settings_for(chosen, settings))


def moved(deltas: dict[str, torch.Tensor], rows: torch.Tensor) -> float:
    """The largest relative change of what the edited projections give for any of `rows`."""
    changes = [((deltas[n] @ rows.T).norm(dim=0) / (WEIGHTS[n] @ rows.T).norm(dim=0)).max() for n in deltas]
    return torch.stack(changes).max().item()


def missed(deltas: dict[str, torch.Tensor], rows: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest relative error of W x against W0 y."""
    errors = [((WEIGHTS[n] + deltas[n]) @ rows.T - WEIGHTS[n] @ wanted.T).norm() for n in deltas]
    return max(error.item() / (WEIGHTS[n] @ wanted.T).norm().item() for n, error in zip(deltas, errors, strict=True))


# RECE


def change_of(deltas: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.linalg.lstsq(WEIGHTS["to_k"], deltas["to_k"]).solution


def layers() -> torch.Tensor:
    return torch.stack([weight.T @ weight for weight in WEIGHTS.values()]).sum(0)


def test_rece_without_rounds_is_uce():
    rece = planned("rece", rounds=0)
    uce = planned("uce", preserve_scale=0.1, lamb=0.1)
    assert all(torch.allclose(rece[n], uce[n], rtol=0, atol=1e-12) for n in uce)
    assert not torch.allclose(planned("rece", rounds=1)["to_k"], uce["to_k"], atol=1e-3)


def test_rece_finds_the_embedding_that_evokes_a_concept_best():
    """Equation 7 by its definition, layer by layer, and no embedding beside it does better."""
    deltas, mu = planned("rece", rounds=0), 0.1
    found = evoking(layers(), change_of(deltas), X, mu)

    def objective(rows: torch.Tensor) -> float:
        fit = sum(((WEIGHTS[n] + d) @ rows.T - WEIGHTS[n] @ X.T).square().sum() for n, d in deltas.items())
        return float(fit + mu * rows.square().sum())

    assert objective(found) < 0.2 * objective(X)  # UCE is not proof against it
    for seed in range(20):
        assert objective(found + 0.01 * draw(3, D, seed=seed)) > objective(found)


def test_rece_leaves_less_of_the_concept_to_be_evoked_with_every_round():
    """Erasing the name itself a hundred times harder does not."""

    def evoked(**settings: Any) -> float:
        """The share of what the original made of the targets that the best embedding brings back."""
        deltas = planned("rece", **settings)
        found = evoking(layers(), change_of(deltas), X, 0.1)
        whole = sum((WEIGHTS[n] @ X.T).square().sum() for n in deltas)
        left = sum(((WEIGHTS[n] + d) @ found.T - WEIGHTS[n] @ X.T).square().sum() for n, d in deltas.items())
        return 1 - float(left / whole)

    shares = [evoked(rounds=rounds) for rounds in range(4)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.75 * shares[0]
    assert evoked(rounds=0, erase_scale=100.0) > 0.95 * shares[0]


def test_rece_erases_what_it_found_and_holds_what_is_retained():
    before, after = (planned("rece", rounds=rounds, erase_scale=1e9) for rounds in (0, 1))
    found = evoking(layers(), change_of(before), X, 0.1)
    assert missed(after, found, Y) < 1e-6 < 0.5 < missed(before, found, Y)
    assert moved(planned("rece", preserve_scale=1e9), KEPT) < 1e-6
    assert moved(planned("rece", preserve_scale=0.0), KEPT) > 0.05


def test_rece_says_when_no_embedding_evokes_best():
    flat = -torch.eye(D, dtype=torch.float64)
    with pytest.raises(EditError, match="raise regular_scale"):
        evoking(layers(), flat, X, 0.0)


@pytest.mark.parametrize("seed", range(8))
def test_rece_is_not_deceived_by_rounding_where_a_direction_is_gone(seed: int):
    gone = torch.nn.functional.normalize(draw(D, seed=100 + seed), dim=0)
    with pytest.raises(EditError, match="raise regular_scale"):
        evoking(layers(), -torch.outer(gone, gone), X, 0.0)
    assert evoking(layers(), -torch.outer(gone, gone), X, 1e-6).isfinite().all()


# SPEED

EQUALLY: dict[str, Any] = {"prior_filter": False, "augment": False}  # what is retained is held as it is


def test_speed_leaves_every_retained_embedding_where_it_is():
    """To rounding, where the threshold is below what they speak; a threshold above it lets them move."""
    held = planned("speed", threshold=1e-6, **EQUALLY)
    assert moved(held, KEPT) < 1e-9
    assert moved(held, X) > 0.01
    assert moved(planned("speed", threshold=1e3, **EQUALLY), KEPT) > 0.01
    assert moved(planned("uce"), KEPT) > 0.01


def test_speed_holds_the_start_of_text_and_the_padding_exactly():
    held = invariants(EMPTY)
    assert torch.equal(held[0], EMPTY[0])
    assert moved(planned("speed"), held) < 1e-9
    assert moved(planned("speed", invariants=False), EMPTY[:1]) > 1e-3
    assert moved(planned("speed", replace(CONCEPTS, empty=None)), EMPTY[:1]) > 1e-3


def test_speed_holds_no_direction_of_a_padding_that_is_all_zeros():
    """As Wan's is; the singular vectors of zeros are directions as any other."""
    held = invariants(torch.cat([EMPTY[:1], torch.zeros(5, D)]))
    assert held.shape == (1, D)
    assert len(invariants(EMPTY)) == 4


def test_speed_is_its_published_formula():
    """P, M and Q as the paper writes them, on one matrix."""
    w0, r = WEIGHTS["to_v"], 0.5
    values, vectors = torch.linalg.eigh(KEPT.T @ KEPT / 4)
    projector = vectors[:, values < 1e-6] @ vectors[:, values < 1e-6].T
    identity, k2 = torch.eye(D, dtype=torch.float64), invariants(EMPTY).T
    spread, cross = CONCEPTS.targets.gram / 2, CONCEPTS.targets.cross / 2
    m = torch.linalg.inv(spread @ projector + r * identity)
    q = identity - m @ k2 @ torch.linalg.inv(k2.T @ projector @ m @ k2) @ k2.T @ projector
    published = w0 @ (cross - spread) @ projector @ q @ m
    ours = planned("speed", threshold=1e-6, retain_scale=r, **EQUALLY)["to_v"]
    assert torch.allclose(ours, published, rtol=0, atol=1e-9)
    assert published.norm() > 0.1


def test_speed_minimises_its_objective_among_the_changes_it_may_make():
    deltas = planned("speed", threshold=1e-6, **EQUALLY)

    def objective(delta: torch.Tensor) -> float:
        w0 = WEIGHTS["to_v"]
        errors = ((w0 + delta) @ X.T - w0 @ Y.T).square().sum(0)
        return float((errors * SHARES).sum() / 2 + delta.square().sum())

    held = torch.cat([KEPT, invariants(EMPTY)])
    allowed = torch.eye(D, dtype=torch.float64) - torch.linalg.pinv(held) @ held
    best = objective(deltas["to_v"])
    assert best < objective(torch.zeros_like(deltas["to_v"]))
    for seed in range(20):
        assert objective(deltas["to_v"] + 0.01 * draw(ROWS, D, seed=seed) @ allowed) > best


def test_speed_edits_the_matrices_it_is_told_to_and_refuses_where_nothing_is_free():
    assert set(planned("speed")) == {"to_v", "narrow.to_v"}
    assert set(planned("speed", params="key")) == {"to_k"}
    assert set(planned("speed", params="both")) == set(WEIGHTS)
    everything = replace(CONCEPTS, retain=Moments.of(draw(2 * D, D, seed=12)))
    with pytest.raises(EditError, match="no direction free; raise threshold"):
        planned("speed", everything, threshold=1e-6, **EQUALLY)


def test_speed_filters_and_augments_what_it_holds_as_published():
    """Row by row, and copy by copy: who feels the edit with nothing retained more than the mean does, is held."""
    cases: list[dict[str, Any]] = [{}, {"prior_filter": False}, {"augment": False}]
    for chosen in cases:
        deltas = planned("speed", threshold=0.3, **chosen)
        for name, delta in deltas.items():
            gram = transcribed(WEIGHTS[name], quantiles(100), **chosen)
            retain = Moments(gram, gram, gram, 1.0)
            beside = planned("speed", replace(CONCEPTS, retain=retain), threshold=0.3, **EQUALLY)
            assert torch.allclose(delta, beside[name], rtol=0, atol=1e-9)
            assert (delta - planned("speed", threshold=0.3, **EQUALLY)[name]).norm() > 1e-3


def transcribed(w0: torch.Tensor, steps: torch.Tensor, prior_filter: bool = True, augment: bool = True) -> torch.Tensor:
    """The mean k k^T of what a matrix holds, where each of ten copies of a row is drawn as often as there are steps."""
    spread, cross = CONCEPTS.targets.gram / 2, CONCEPTS.targets.cross / 2
    alone = w0 @ (cross - spread) @ torch.linalg.inv(torch.eye(D, dtype=torch.float64) + spread)
    rows = KEPT
    if prior_filter:
        felt = torch.stack([(alone @ row).norm() for row in rows])
        assert 0 < (felt > felt.mean()).sum() < len(rows)
        rows = rows[felt > felt.mean()]
    gram, mass = rows.T @ rows, float(len(rows))
    if augment:
        v = torch.linalg.svd(w0, full_matrices=False).Vh[-1]
        copies = torch.stack([row + step * v for row in rows for step in steps])
        felt = torch.stack([(alone @ copy).norm() for copy in copies])
        copies = copies[felt > felt.mean()]
        gram, mass = gram + 10 / len(steps) * copies.T @ copies, mass + 10 / len(steps) * len(copies)
    return gram / mass


def test_speed_takes_what_drawn_copies_come_to_in_the_long_run():
    w0 = WEIGHTS["to_v"]
    drawn = transcribed(w0, draw(20_000, seed=13))
    errors = [(transcribed(w0, quantiles(count)) - drawn).norm() / drawn.norm() for count in (100, 4)]
    assert errors[0] < 0.02 < errors[1]
    assert transcribed(w0, draw(10, seed=14)).sub(drawn).norm() / drawn.norm() > errors[0]


def test_speed_filters_by_each_matrix_and_by_weight():
    """A matrix that reads a row alone feels that row alone; a row's weight is its share of the mean."""
    change = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))

    def held(*weight: float) -> list[list[float]]:
        return influenced(change, Rows(torch.eye(3), torch.tensor(weight, dtype=torch.float64))).x.tolist()

    rows = torch.eye(3).tolist()
    assert held(1, 1, 1) == rows[:2]
    assert held(9, 1, 1) == rows[:1]
    assert held(1, 1, 9) == rows[:2]


def test_speed_holds_a_concept_that_is_retained_alone():
    """It is the mean, for which the published comparison drops it."""
    one = replace(CONCEPTS, retain=Moments.of(KEPT[:1]), kept=Rows(KEPT[:1], torch.ones(1, dtype=torch.float64)))
    assert moved(planned("speed", one, threshold=1e-6), KEPT[:1]) < 1e-9
    none = replace(CONCEPTS, retain=Moments.zero(D), kept=Rows(KEPT[:0], torch.ones(0, dtype=torch.float64)))
    assert moved(planned("speed", none, threshold=1e-6), KEPT[:1]) > 1e-3


def test_speed_weighs_all_tokens_of_a_concept_as_published():
    """The published code adds up the tokens of a prompt and takes the mean over concepts alone."""
    both = torch.cat([X, AROUND[:3]]), torch.cat([Y, AROUND_Y[:3]])
    many = replace(CONCEPTS, targets=Moments.of(*both, torch.cat([SHARES, SHARES])))
    spread, cross = many.targets.gram / 2, many.targets.cross / 2
    free = planned("speed", replace(many, retain=Moments.zero(D), empty=None), **EQUALLY)["to_v"]
    wanted = WEIGHTS["to_v"] @ (cross - spread) @ torch.linalg.inv(spread + torch.eye(D, dtype=torch.float64))
    assert torch.allclose(free, wanted, rtol=0, atol=1e-9)


# OCE

MILD: dict[str, Any] = {"preserve_concept_scale": 0.3, "preserve_global_scale": 0.5, "lamb": 1.5}


def test_oce_keeps_the_size_of_every_value_and_the_angle_between_any_two():
    deltas = planned("oce", **MILD, erase_scale=100.0)
    assert set(deltas) == {"to_v", "narrow.to_v"}
    for name, delta in deltas.items():
        w0 = WEIGHTS[name]
        assert torch.allclose((w0 + delta).T @ (w0 + delta), w0.T @ w0, rtol=0, atol=1e-10)
        assert delta.norm() > 0.1 * w0.norm()
    w, w0 = WEIGHTS["to_v"] + planned("uce")["to_v"], WEIGHTS["to_v"]
    assert (w.T @ w - w0.T @ w0).norm() > 0.1


def test_oce_turns_as_its_objective_wants():
    """No rotation near it, and no reflection, has a larger tr(R^T M); M as the paper writes it, in all of d_out."""
    scales: dict[str, Any] = {
        "erase_scale": 100.0,
        "preserve_concept_scale": 0.3,
        "preserve_global_scale": 0.5,
        "lamb": 1.5,
    }
    w0 = WEIGHTS["to_v"]
    turned = w0 + planned("oce", **scales)["to_v"]
    basis = torch.linalg.qr(w0).Q
    r = turned @ torch.linalg.pinv(w0) + torch.eye(ROWS, dtype=torch.float64) - basis @ basis.T
    span = [torch.linalg.qr(w0 @ rows.T).Q for rows in (X, Y[[0, 2]])]
    targets, anchors = (columns @ columns.T for columns in span)
    m = -100 * targets @ (torch.eye(ROWS, dtype=torch.float64) - anchors)
    m = m + w0 @ (0.3 * KEPT.T @ KEPT + 0.5 * WORDS.T @ WORDS / 5 + 1.5 * torch.eye(D, dtype=torch.float64)) @ w0.T
    best = (r * m).sum()
    assert torch.allclose(r.T @ r, torch.eye(ROWS, dtype=torch.float64), atol=1e-9)
    assert best > m.trace() + 1  # better than to stay
    for seed in range(20):
        noise = 0.05 * draw(ROWS, ROWS, seed=seed)
        assert (torch.linalg.matrix_exp(noise - noise.T) @ r * m).sum() < best


def test_oce_turns_the_targets_away_and_more_so_with_strength():
    def along(strength: float) -> float:
        deltas = planned("oce", **MILD, erase_scale=strength)
        values = {n: WEIGHTS[n] @ X.T for n in deltas}
        return sum(
            float(((values[n] + d @ X.T) * values[n]).sum() / values[n].square().sum()) for n, d in deltas.items()
        )

    shares = [along(strength) for strength in (0.0, 10.0, 100.0, 1000.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(2.0, abs=1e-9)
    assert shares[-1] < 0.5


def test_oce_holds_what_is_retained_by_its_weight():
    held = planned("oce", **{**MILD, "preserve_concept_scale": 1e4}, erase_scale=100.0)
    assert moved(held, KEPT) < 0.1 * moved(
        planned("oce", **{**MILD, "preserve_concept_scale": 0.0}, erase_scale=100.0), KEPT
    )


def test_oce_asks_what_the_names_span_and_neither_how_many_nor_how_large_they_are():
    few = planned("oce", **MILD, erase_scale=100.0)
    shares = draw(10 * D, len(X), seed=12)
    many = replace(CONCEPTS, subjects=1e3 * shares @ X, neutral=torch.cat([Y] * D))
    assert all(
        torch.allclose(few[n], delta, atol=1e-9) for n, delta in planned("oce", many, **MILD, erase_scale=100.0).items()
    )
    others = replace(many, subjects=shares[:, :2] @ X[:2])
    assert (planned("oce", others, **MILD, erase_scale=100.0)["to_v"] - few["to_v"]).norm() > 0.1


def test_oce_leaves_a_row_of_zeros_as_it_is_and_turns_the_others_as_without_it():
    settings, kinds = oce.OceSettings(**{**MILD, "erase_scale": 100.0}), {"to_v": "value"}
    weight = WEIGHTS["to_v"]
    with_zeros = torch.cat([weight[:5], torch.zeros(1, D, dtype=torch.float64), weight[5:]])
    turned, whole = (oce.plan({"to_v": w}, kinds, CONCEPTS, settings)["to_v"] for w in (with_zeros, weight))
    assert turned[5].norm() < 1e-12 * turned.norm()
    assert torch.allclose(torch.cat([turned[:5], turned[6:]]), whole, atol=1e-9)
    narrow = torch.cat([WEIGHTS["narrow.to_v"], torch.zeros(1, D, dtype=torch.float64)])  # no direction to spare
    edited = narrow + oce.plan({"to_v": narrow}, kinds, CONCEPTS, settings)["to_v"]
    assert edited[-1].norm() < 1e-12
    assert torch.allclose((edited @ X.T).norm(dim=0), (narrow @ X.T).norm(dim=0))


def test_oce_never_reflects_and_gives_up_the_least_for_it():
    reflecting = torch.diag(torch.tensor([3.0, 2.0, -1.0], dtype=torch.float64))
    proper, free = (rotation("layer", reflecting, proper) for proper in (True, False))
    assert torch.linalg.det(proper).item() == pytest.approx(1.0)
    assert torch.linalg.det(free).item() == pytest.approx(-1.0)
    assert (proper * reflecting).sum().item() == pytest.approx(4.0)  # 3 + 2 - 1, where the reflection has 6
    with pytest.raises(EditError, match="raise lamb"):
        rotation("layer", torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64)), True)


# MACE


def spread_out() -> ConceptEmbeddings:
    """The targets' own tokens and, around them, words that carry them."""
    return replace(CONCEPTS, targets=CONCEPTS.targets + Moments.of(AROUND, AROUND_Y))


def test_mace_maps_surrounding_words_to_what_they_are_without_the_concept():
    def left(lamb: float) -> float:
        return missed(planned("mace-cfr", spread_out(), lamb=lamb), AROUND, AROUND_Y)

    errors = [left(lamb) for lamb in (1.0, 1e-3, 1e-6, 1e-9)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6 < 0.05 < errors[0]


def test_mace_leaves_the_concepts_own_token_to_its_other_stage():
    """A token that has nothing in common with the words around it stays; with it in the moments it goes, as in UCE."""
    apart = torch.linalg.qr(AROUND.T, mode="complete").Q[:, 6:9].T
    alone = replace(CONCEPTS, subjects=apart, targets=Moments.of(apart, Y, SHARES) + Moments.of(AROUND, AROUND_Y))
    assert moved(planned("mace-cfr", alone), apart) < 1e-9
    assert moved(planned("mace-cfr", alone), AROUND) > 0.1
    assert moved(planned("uce", alone), apart) > 0.1
    assert torch.allclose(surrounding(alone).gram, AROUND.T @ AROUND, atol=1e-12)


def test_mace_is_its_published_formula():
    lam, keep = 10.0, 0.5
    deltas = planned("mace-cfr", spread_out(), lamb=lam, preserve_scale=keep)
    left = lam * torch.eye(D, dtype=torch.float64) + AROUND.T @ AROUND + keep * KEPT.T @ KEPT
    for name, w0 in WEIGHTS.items():
        right = lam * w0 + (w0 @ AROUND_Y.T) @ AROUND + keep * (w0 @ KEPT.T) @ KEPT
        assert torch.allclose(w0 + deltas[name], right @ torch.linalg.inv(left), atol=1e-10)


def test_mace_retains_by_weight():
    assert moved(planned("mace-cfr", spread_out(), preserve_scale=1e9), KEPT) < 1e-6
    assert moved(planned("mace-cfr", spread_out()), KEPT) > 0.05


# All of them


@pytest.mark.parametrize(
    ("editor", "settings"),
    [("rece", {"general": 1e9}), ("mace-cfr", {"general": 1e9}), ("speed", {"general": 1.0, "threshold": 1e-6})],
)
def test_the_models_own_words_are_held_by_their_weight(editor: str, settings: dict[str, float]):
    held = planned(editor, spread_out(), **settings, general_words=5)
    assert moved(held, WORDS) < 1e-6
    assert moved(held, X if editor != "mace-cfr" else AROUND) > 0.01
    assert moved(planned(editor, spread_out(), **{**settings, "general": 0.0}), WORDS) > 0.01


@pytest.mark.parametrize("editor", ["uce", "rece", "mace-cfr", "speed"])
def test_a_weight_of_words_that_are_not_read_is_refused(editor: str):
    with pytest.raises(SettingError, match=r"general is 60.0.*general_words.*set both"):
        planned(editor, general=60.0)


def test_mace_has_nothing_to_surround_with_the_last_token_alone():
    with pytest.raises(SettingError, match="tokens is 'last'; use one of all, tail"):
        planned("mace-cfr", tokens="last")


@pytest.mark.parametrize("editor", ["rece", "mace-cfr"])
def test_no_strength_is_no_change(editor: str):
    deltas = planned(editor, spread_out(), erase_scale=0.0)
    assert all(torch.equal(delta, torch.zeros_like(delta)) for delta in deltas.values())


def test_no_strength_is_no_change_to_rounding():
    still = planned("oce", erase_scale=0.0)
    assert max(delta.norm() / WEIGHTS[n].norm() for n, delta in still.items()) < 1e-12
    assert moved(planned("speed", retain_scale=1e12), X) < 1e-9


@pytest.mark.parametrize("editor", PUBLISHED)
def test_planning_is_deterministic_and_reads_only(editor: str):
    weights = {name: weight.clone() for name, weight in WEIGHTS.items()}
    first, again = planned(editor), planned(editor)
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert all(torch.equal(weights[n], WEIGHTS[n]) for n in weights)


@pytest.mark.parametrize("editor", PUBLISHED)
def test_unknown_settings_and_impossible_values_are_refused(editor: str):
    with pytest.raises(SettingError, match=f"{editor} has no setting 'strenght'; known: tokens"):
        planned(editor, strenght=1.0)
    for value in (float("nan"), -1.0, "much", True):
        with pytest.raises(SettingError, match=f"{editor}.general_words"):
            planned(editor, general_words=value)


DEFAULTS = {
    "rece": {"erase_scale": 1.0, "preserve_scale": 0.1, "lamb": 0.1, "rounds": 3, "regular_scale": 0.1},
    "speed": {"params": "value", "threshold": 0.1, "retain_scale": 1.0, "prior_filter": True, "augment": True},
    "oce": {"erase_scale": 2000.0, "preserve_concept_scale": 0.0, "preserve_global_scale": 10.0, "lamb": 10.0},
    "mace-cfr": {"tokens": "all", "bare": False, "lamb": 1 / 3, "preserve_scale": 0.0},
}


@pytest.mark.parametrize("editor", PUBLISHED)
def test_defaults_are_the_published_ones(editor: str):
    settings = editor_named(editor).settings()
    found = {name: getattr(settings, name) for name in DEFAULTS[editor]}
    assert found == DEFAULTS[editor]
    if editor != "mace-cfr":
        assert (settings.tokens, settings.bare) == ("last", True)


WHOLE = {
    # argument defaults of trainscripts/uce_sd_erase.py, rohitgandikota/unified-concept-editing; no prompt is expanded
    "uce": {
        "tokens": "last",
        "bare": True,
        "general_words": 0,
        "kin": 1.0,
        "default_anchor": "empty",
        "erase_scale": 1.0,
        "preserve_scale": 1.0,
        "lamb": 0.5,
        "general": 0.0,
    },
    # argument defaults of esd_sd.py, rohitgandikota/erasing: --negative_guidance 2 from the named prediction on is eta
    # 1 from the unconditional one, --guidance_scale, --num_inference_steps, --iterations, --lr; a step takes one sample
    "esd": {
        "eta": 1.0,
        "alpha": 3.0,
        "steps": 50,
        "walks": "frozen",
        "iterations": 200,
        "rate": 5e-5,
        "batch": 1,
        "bare": True,
    },
    # SD/README.md of OPTML-Group/Unlearn-Saliency: --train_method full --alpha 0.5 --lr 1e-5 --epochs 5, the mask
    # with_0.5, 800 pictures of either kind; batches as in train-scripts/random_label.py. Steps and guidance are those
    # that Stable Diffusion draws with by default
    "salun": {
        "beta": 0.5,
        "share": 0.5,
        "pictures": 800,
        "steps": 50,
        "guidance": 7.5,
        "epochs": 5,
        "rate": 1e-5,
        "batch": 8,
        "parameters": "full",
        "bare": True,
    },
}


@pytest.mark.parametrize("editor", WHOLE)
def test_all_settings_are_by_default_as_published(editor: str):
    kind = TRAINERS[editor].settings if editor in TRAINERS else editor_named(editor).settings
    assert asdict(kind()) == WHOLE[editor]


@pytest.mark.parametrize("editor", PUBLISHED)
def test_it_edits_a_real_pipeline_and_undoes_it(editor: str):
    pipeline = tiny.pipeline()
    given = {"general_words": 10} if editor != "speed" else {"threshold": 1e-3}
    spec = EditSpec((Target("cat", ("cat", "kitty")),), (Retain("dog", ("dog",)),), editor, given)
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    made = plan(pipeline, spec)
    with applied(pipeline, made):
        changed = {n for n, value in pipeline.unet.state_dict().items() if not torch.equal(value, before[n])}
        assert {f"unet.{name}" for name in changed} == set(made.deltas)
    assert all(torch.equal(value, before[n]) for n, value in pipeline.unet.state_dict().items())
    assert all(row["change"] > 1e-4 for row in made.diagnostics.values())


@pytest.mark.parametrize("module", [speed, oce, esd])
def test_published_settings_are_settings_that_differ_from_the_defaults(module: Any) -> None:
    owner = module.TRAINER if module is esd else module.EDITOR
    for told in module.PUBLISHED.values():
        made = asdict(checked_settings(owner.name, owner.settings, told))
        assert {name: made[name] for name in told} == told
        assert all(value != getattr(owner.settings(), name) for name, value in told.items())
