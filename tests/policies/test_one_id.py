"""One request id has one content, whichever of two comes first."""

from __future__ import annotations

import pytest

from expunge.policies import Policy, PolicyConflict, desired_state, in_force
from tests.policies.test_desired_state import concept, policy


@pytest.fixture
def pair() -> list[Policy]:
    """Two contents under one id, the one with the smaller digest first."""
    return sorted((policy("r", [concept(name)]) for name in ("taxi", "panda")), key=lambda one: one.digest)


@pytest.mark.parametrize("step", [1, -1], ids=["smaller-first", "larger-first"])
def test_two_contents_under_one_id_are_refused_in_either_order(pair: list[Policy], step: int) -> None:
    assert pair[0].digest < pair[1].digest
    with pytest.raises(PolicyConflict, match="two different policies") as refused:
        in_force(pair[::step])
    assert refused.value.field == "request_id"
    with pytest.raises(PolicyConflict, match="two different policies"):
        desired_state(pair[::step])


def test_one_content_twice_counts_once(pair: list[Policy]) -> None:
    assert in_force([pair[0], pair[0]]) == [pair[0]]
