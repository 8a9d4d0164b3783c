"""RECE finds what still evokes a concept, and leaves less of it with every round."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from expunge.engine.editors.rece import evoking
from expunge.engine.errors import EditError
from tests.engine.draws import draw
from tests.engine.editors.made_up import KEPT, WEIGHTS, D, X, Y, missed, moved, planned


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
