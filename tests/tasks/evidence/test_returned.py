"""Whether a withdrawn concept counts as back."""

from __future__ import annotations

import math

import pytest

from expunge.engine.stats.verdict import Rate, TargetResult
from expunge.tasks.evidence.returned import _judged


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (0.9, 0.9, "PASS"),
        (0.9, 0.1, "FAIL"),
        (0.1, 0.9, "INCONCLUSIVE"),
        (math.nan, 0.9, "INCONCLUSIVE"),
        (0.9, math.nan, "FAIL"),
    ],
)
def test_what_is_no_number_is_no_proof_that_a_concept_is_back(before: float, after: float, outcome: str) -> None:
    found = TargetResult("panda", "object", Rate(0, before, 0, after, 0.0, 1.0), {})
    assert _judged(found, 0.75)[0].value == outcome
