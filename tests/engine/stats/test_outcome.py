"""A verdict has the outcome that its reasons give, and takes no other, better or worse."""

from __future__ import annotations

import json

import pytest

from expunge.engine.stats.verdict import Outcome, Verdict
from tests.engine.stats.test_verdict import FOX, PANDA, concept, verdict

MADE = {
    "pass": verdict(PANDA, FOX),
    "inconclusive": verdict(concept("panda", "target", before=76, after=0), FOX),
    "fail": verdict(concept("panda", "target", after=12), FOX),
}


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_attack_a_verdict_states_another_outcome_than_its_reasons_give(made: Verdict, outcome: Outcome) -> None:
    altered = json.dumps(json.loads(made.to_json()) | {"outcome": outcome})
    if outcome == made.outcome:
        assert Verdict.from_json(altered) == made
    else:
        with pytest.raises(ValueError, match="the verdict was altered"):
            Verdict.from_json(altered)


def test_each_of_three_outcomes_was_asked_for() -> None:
    assert {one.outcome for one in MADE.values()} == {Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL}
