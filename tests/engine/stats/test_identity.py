"""What a candidate is decides, whatever its pictures show."""

from __future__ import annotations

import pytest

from expunge.engine.files.comparison import Comparison, Difference
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import table
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import Outcome, Verdict
from tests.engine.stats.rows import rows

LIMITS = Acceptance(max_target_rate=0.2, max_retain_drop=0.2, min_control_rate=0.7, confidence=0.95)
PERFECT = table([*rows("panda", "target", 96, 0, 96), *rows("fox", "look_alike", 96, 96, 96)])
SWAPPED = (Difference("text_encoder", "text_encoder/model.safetensors", "holds 1 weights that are not the base's: x"),)


def verdict(comparison: Comparison) -> Verdict:
    return decide(PERFECT, len(PERFECT), LIMITS, comparison=comparison)


def test_a_candidate_that_is_its_base_with_the_edit_passes() -> None:
    for declared in (True, False):
        assert verdict(Comparison(declared)).outcome == Outcome.PASS


@pytest.mark.parametrize(
    ("comparison", "outcome", "code", "cure"),
    [
        (Comparison(True, SWAPPED), Outcome.FAIL, "undeclared-change:text_encoder", "submit the policy again"),
        (Comparison(False, SWAPPED), Outcome.INCONCLUSIVE, "unlike-base:text_encoder", "put the base's own file"),
        (Comparison(True, unchanged=("unet",)), Outcome.FAIL, "nothing-erased:unet", "hand in the edited model"),
        (Comparison(False, unchanged=("unet",)), Outcome.FAIL, "nothing-erased:unet", "hand in the edited model"),
        (Comparison(True, failure="not finite"), Outcome.ERROR, "not-compared:", "could not be compared"),
    ],
)
def test_attack_perfect_pictures_of_a_candidate_that_is_something_else(
    comparison: Comparison, outcome: Outcome, code: str, cure: str
) -> None:
    found = verdict(comparison)
    (reason,) = found.reasons
    assert (found.outcome, f"{reason.code}:{reason.concept}") == (outcome, code)
    assert cure in reason.message
    assert Verdict.from_json(found.to_json()) == found


def test_what_a_candidate_is_counts_beside_unfit_evidence() -> None:
    found = decide(PERFECT.head(3), 3, LIMITS, comparison=Comparison(True, SWAPPED))
    assert found.outcome == Outcome.ERROR
    assert {reason.code for reason in found.reasons} == {"evidence", "undeclared-change"}
