"""SPEED leaves what it holds where it is, and is its published formula among the changes that it may make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from expunge.engine.editors import Moments
from expunge.engine.editors.base import Rows
from expunge.engine.editors.speed import influenced, invariants, quantiles, weakest
from expunge.engine.errors import EditError
from tests.engine.draws import draw
from tests.engine.editors.made_up import (
    AROUND,
    AROUND_Y,
    CONCEPTS,
    EMPTY,
    KEPT,
    ROWS,
    SHARES,
    WEIGHTS,
    D,
    X,
    Y,
    moved,
    planned,
)

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


@pytest.mark.parametrize("shape", [(3 * D, D), (D, D), (D // 2, D), (1, D)], ids=str)
def test_speed_copies_along_the_weakest_direction_that_a_matrix_has(shape: tuple[int, int]):
    """Of a matrix with fewer rows than columns it is none of the many that it does not read at all."""
    weight = draw(*shape, seed=15)
    expected = torch.linalg.svd(weight, full_matrices=False).Vh[-1]
    assert abs(weakest(weight) @ expected) > 1 - 1e-9
    assert not weakest(torch.zeros(D // 2, D)).any()


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
