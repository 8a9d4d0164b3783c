"""MACE maps the words around a concept to what they are without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from expunge.engine.editors import Moments
from expunge.engine.editors.mace import surrounding
from expunge.engine.errors import SettingError
from tests.engine.editors.made_up import (
    AROUND,
    AROUND_Y,
    CONCEPTS,
    KEPT,
    SHARES,
    WEIGHTS,
    D,
    Y,
    missed,
    moved,
    planned,
    spread_out,
)


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


def test_mace_leaves_matrices_alone_that_read_nothing_around_a_concept():
    """As those of pooled streams do; a change of nothing would count as one that left all of the target."""
    pooled = Moments.of(CONCEPTS.subjects, CONCEPTS.neutral, CONCEPTS.subject_weights())
    assert planned("mace-cfr", replace(CONCEPTS, targets=pooled)) == {}


def test_mace_has_nothing_to_surround_with_the_last_token_alone():
    with pytest.raises(SettingError, match="tokens is 'last'; use one of all, tail"):
        planned("mace-cfr", tokens="last")
