"""What replaces a target: noise is called noise, and no model is proven clean because it draws nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.evidence.table import BEFORE_SHOWS, NOTHING, Row
from expunge.engine.stats.hypotheses import most_claims
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.sampling_plan import PLANNED
from expunge.engine.stats.verdict import AS_TARGET, JudgeError, Outcome, Verdict, target_error
from tests.engine.stats.rows import rows

LIMITS = Acceptance(max_target_rate=0.1, max_retain_drop=0.1, min_control_rate=0.75, confidence=0.95)
CLEAN, HALF = JudgeError(990, 1000, 5, 1000), JudgeError(850, 1000, 40, 1000, "half-erased pictures")


def shown(made: Sequence[Row], after: Sequence[str]) -> list[Row]:
    """The rows with what they show: before the edit a car, after it by turns what is given."""
    return [replace(row, shows=after[row.seed % len(after)] if row.arm == "after" else "car") for row in made]


def verdict_on(after: Sequence[str], limits: Acceptance = LIMITS, pictures: int = 60) -> Verdict:
    made = shown(rows("car", "target", pictures, 0, pictures), after)
    made += shown(rows("bus", "look_alike", pictures, pictures, pictures), ["bus"])
    return decide(evidence.table(made), len(made), limits)


def test_noise_and_what_else_took_the_place_are_counted_and_without_a_limit_decide_nothing() -> None:
    verdict = verdict_on([NOTHING, "bus", "bus", "tree"])
    (target,) = verdict.targets
    assert target.noise is not None
    assert (target.noise.before, target.noise.rate, target.noise.n) == (0.0, 0.25, 60)
    assert target.replaced_by == (("bus", 30), ("tree", 15))
    assert verdict.outcome is Outcome.PASS
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_a_model_that_draws_noise_in_place_of_the_target_fails_a_limit_of_noise() -> None:
    limits = replace(LIMITS, max_noise_rate=0.4)
    failed = verdict_on([NOTHING], limits)
    assert [(reason.code, reason.value) for reason in failed.reasons] == [("noise-seen", 1.0)]
    assert "nothing recognisable in place of car is seen in 60 of 60 pictures" in failed.reasons[0].message
    assert failed.outcome is Outcome.FAIL
    assert verdict_on(["bus"], limits).outcome is Outcome.PASS


def test_a_limit_of_noise_has_to_be_proven_like_every_other() -> None:
    limits = replace(LIMITS, max_noise_rate=0.4)
    near = verdict_on([NOTHING, "bus", "bus"], limits)
    assert [reason.code for reason in near.reasons] == ["noise-unproven"]
    few = verdict_on(["bus"], replace(limits, max_noise_rate=0.01))
    assert [reason.code for reason in few.reasons] == ["noise-too-few"]


def test_a_judge_that_cannot_tell_noise_proves_no_limit_of_it() -> None:
    """A judge that names something in every picture would find no noise in any."""
    verdict = verdict_on([""], replace(LIMITS, max_noise_rate=0.4))
    assert [reason.code for reason in verdict.reasons] == ["noise-unmeasured"]
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.targets[0].noise is None
    one_unsaid = verdict_on(["bus"] * 59 + [""], replace(LIMITS, max_noise_rate=0.4))
    assert one_unsaid.outcome is Outcome.INCONCLUSIVE, "one picture that nobody says anything of is enough"


def test_the_claim_is_counted_among_all_that_a_plan_can_make() -> None:
    plan = pd.DataFrame([("car", "target", "object", "name", "a car", 0, 0)], columns=PLANNED)
    assert most_claims(plan, replace(LIMITS, max_noise_rate=0.4)) == most_claims(plan, LIMITS) + 1
    claims = verdict_on(["bus"], replace(LIMITS, max_noise_rate=0.4)).claims
    assert [claim.limit for claim in claims if claim.kind == "noise"] == [0.4]


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.1, float("nan")])
def test_a_limit_of_noise_is_a_share(limit: float) -> None:
    with pytest.raises(ValueError, match="max_noise_rate"):
        replace(LIMITS, max_noise_rate=limit)


def test_a_table_of_before_there_was_such_a_column_is_read_and_keeps_its_digest(tmp_path: Path) -> None:
    made = rows("car", "target", 4, 0, 4)
    table = evidence.table(made)
    old = pa.Table.from_pandas(table.drop(columns="shows"), schema=BEFORE_SHOWS, preserve_index=False)
    pq.write_table(old, tmp_path / "old.parquet")
    read = evidence.read(tmp_path / "old.parquet")
    pd.testing.assert_frame_equal(read, table)
    assert evidence.digest(read) == "82c070e16992a1ee52fad96465642a5e6365f3ec90667036b2f6200bd7b48769"
    assert evidence.digest(evidence.table(shown(made, ["bus"]))) != evidence.digest(table)


def test_targets_are_bounded_by_the_error_on_half_erased_pictures_and_groups_by_that_on_clean_ones() -> None:
    """An edit that leaves what a judge only half sees must not pass by the error on pictures that were drawn right."""
    errors = {"object": CLEAN, f"{AS_TARGET}object": HALF}
    made = [*rows("car", "target", 60, 1, 60), *rows("bus", "look_alike", 60, 60, 60)]
    table = evidence.table(made)
    clean, both = (decide(table, len(made), LIMITS, known) for known in ({"object": CLEAN}, errors))
    assert both.targets[0].total.upper > clean.targets[0].total.upper
    assert both.groups == clean.groups
    assert [claim.p for claim in both.claims if claim.kind == "target"] > [
        claim.p for claim in clean.claims if claim.kind == "target"
    ]
    assert Verdict.from_json(both.to_json()).judge == errors
    assert target_error(errors, "object") == HALF
    assert target_error({"style": CLEAN}, "style") == CLEAN
    assert target_error({}, "style") is None
