"""What is added up by anchor token first is what is added up token by token."""

from __future__ import annotations

import torch

from expunge.engine.editors import Moments
from tests.engine.draws import draw

D, TOKENS, ANCHORS = 6, 30, 4
X, KNOWN, WEIGHTS = draw(TOKENS, D, seed=1), draw(ANCHORS, D, seed=2), draw(TOKENS, seed=3).abs()
PARTNER = torch.arange(TOKENS) ** 2 % (ANCHORS - 1)  # the last anchor token is nobody's


def apart(one: Moments, other: Moments) -> float:
    parts = ((one.gram, other.gram), (one.cross, other.cross), (one.anchor, other.anchor))
    return max(((a - b).norm() / b.norm()).item() for a, b in parts)


def test_tokens_that_share_anchors_have_the_moments_of_their_pairs():
    shared = Moments.shared(X, KNOWN, PARTNER, WEIGHTS)
    pairs = Moments.of(X, KNOWN[PARTNER], WEIGHTS)
    assert apart(shared, pairs) < 1e-14
    assert shared.mass == pairs.mass
    assert apart(Moments.shared(X, KNOWN, PARTNER.roll(1), WEIGHTS), pairs) > 0.1


def test_an_anchor_of_each_tokens_own_is_shared_by_none():
    own = draw(TOKENS, D, seed=4)
    shared = Moments.shared(X, own, torch.arange(TOKENS), WEIGHTS)
    assert apart(shared, Moments.of(X, own, WEIGHTS)) < 1e-14


def test_they_are_summed_in_double_precision_whatever_the_tokens_are():
    shared = Moments.shared(X.half(), KNOWN.half(), PARTNER, WEIGHTS.float())
    assert shared.gram.dtype == shared.cross.dtype == shared.anchor.dtype == torch.float64
    assert apart(shared, Moments.of(X.half(), KNOWN.half()[PARTNER], WEIGHTS.float())) < 1e-14
