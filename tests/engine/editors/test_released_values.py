"""The right sides of ScaPre's released scripts are summed exactly, whichever rows share a mask."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from expunge.engine.editors.base import Tokens
from expunge.engine.editors.released import values as released_values
from expunge.engine.editors.released.values import Batch, add_masked
from tests.engine.draws import draw

D, CONCEPTS, SIZES = 8, 4, (9, 5, 7)
ROWS = draw(sum(SIZES), D, seed=1)
LENGTHS = (3, 1, 4, 2)
WORDING = torch.repeat_interleave(torch.arange(CONCEPTS), torch.tensor(LENGTHS))
ONE_ANCHOR = torch.cat([torch.arange(length) for length in LENGTHS])
TOKENS = Tokens(draw(sum(LENGTHS), D, seed=2), WORDING, draw(12, D, seed=3), ONE_ANCHOR)
OWN_ANCHORS = Tokens(TOKENS.x, WORDING, TOKENS.anchors, torch.arange(10))
BASIS = draw(D, D, seed=4)


def masks(kind: str) -> list[Tensor]:
    drawn = [draw(size, CONCEPTS, seed=5 + k).abs() for k, size in enumerate(SIZES)]
    if kind == "a value of each row's own":
        return drawn
    shared = [torch.full_like(mask, 0.5 + k) for k, mask in enumerate(drawn)]
    if kind == "one value for all":
        return shared
    if kind == "no mask for most":
        shared = [torch.zeros_like(mask) for mask in drawn]
    for mask, other in zip(shared, drawn, strict=True):
        mask[1, 2], mask[3:5, 0] = other[1, 2], 0.0
    return shared


def one_by_one(mask: Tensor, tokens: Tokens, concepts: range) -> Tensor:
    total = torch.zeros_like(ROWS)
    for x, k, partner in zip(tokens.x, tokens.wording.tolist(), tokens.partner.tolist(), strict=True):
        if k in concepts:
            for i, row in enumerate(ROWS):
                total[i] += mask[i, k] * (row @ tokens.anchors[partner]) * (x @ BASIS)
    return total


def summed(found: list[Tensor], tokens: Tokens, concepts: range) -> Tensor:
    values = torch.zeros_like(ROWS)
    batch = Batch.of(tokens, concepts, BASIS, ROWS)
    add_masked(values, ROWS, SIZES, [mask[:, concepts.start : concepts.stop] for mask in found], batch)
    return values


KINDS = ("a value of each row's own", "one value for all", "no mask for most", "another for a few")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [TOKENS, OWN_ANCHORS], ids=["one anchor", "anchors of their own"])
def test_every_row_has_the_sum_over_its_own_masks(kind: str, tokens: Tokens):
    found = masks(kind)
    for concepts in (range(CONCEPTS), range(1, 3)):
        expected = one_by_one(torch.cat(found), tokens, concepts)
        assert torch.allclose(summed(found, tokens, concepts), expected, rtol=1e-12, atol=1e-12)


def test_a_row_of_another_mask_has_another_sum_and_no_other_row_has():
    found = masks("one value for all")
    before = summed(found, TOKENS, range(CONCEPTS))
    found[1][2, 3] = 0.25
    moved = (summed(found, TOKENS, range(CONCEPTS)) - before).abs().amax(1) > 1e-9
    assert moved.nonzero().tolist() == [[SIZES[0] + 2]]


def test_it_adds_to_what_is_there():
    found = masks("another for a few")
    values = torch.ones_like(ROWS)
    add_masked(values, ROWS, SIZES, found, Batch.of(TOKENS, range(CONCEPTS), BASIS, ROWS))
    assert torch.allclose(values, 1 + summed(found, TOKENS, range(CONCEPTS)), rtol=1e-12)


def test_where_anchors_are_shared_no_row_of_the_common_mask_goes_through_tokens(monkeypatch: pytest.MonkeyPatch):
    found, asked = masks("another for a few"), []
    monkeypatch.setattr(released_values, "add_all", lambda *case: asked.append(len(case[-1].anchors)))
    assert summed(found, TOKENS, range(CONCEPTS)).any()
    assert asked == []
    summed(found, OWN_ANCHORS, range(CONCEPTS))
    assert asked == [sum(LENGTHS)]
