"""OCE turns the targets away, and keeps sizes and angles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from expunge.engine.editors import oce
from expunge.engine.editors.oce import rotation
from expunge.engine.errors import EditError
from tests.engine.draws import draw
from tests.engine.editors.made_up import CONCEPTS, KEPT, ROWS, WEIGHTS, WORDS, D, X, Y, moved, planned

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


def test_oce_as_released_turns_nothing_where_as_many_targets_share_one_anchor_as_a_value_has_numbers():
    many = replace(CONCEPTS, subjects=draw(3 * D, len(X[0]), seed=12), neutral=Y[:1].expand(3 * D, -1))
    for name, delta in planned("oce", many, **MILD, erase_scale=100.0).items():
        released = planned("oce", many, **MILD, erase_scale=100.0, anchor_span="columns")[name]
        assert delta.norm() > 0.1 * WEIGHTS[name].norm()
        assert released.norm() < 1e-6 * WEIGHTS[name].norm()


def test_oce_is_the_same_by_either_span_where_every_target_has_an_anchor_of_its_own():
    own = replace(CONCEPTS, neutral=draw(len(X), D, seed=13))
    one, other = (planned("oce", own, **MILD, erase_scale=100.0, anchor_span=span) for span in ("rank", "columns"))
    assert all(torch.allclose(one[name], other[name], atol=1e-9) for name in one)


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
