import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from expunge.engine.stats import verdict as verdict_module
from expunge.engine.stats.bounds.clopper_pearson import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    drop_bounds,
    fewest,
)
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import Row, table
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import Outcome, Verdict
from tests.engine.stats.reasons import by_concept as codes
from tests.engine.stats.rows import rows
from tests.mutation.frozen import changeable

LIMITS = Acceptance(max_target_rate=0.10, max_retain_drop=0.05, min_control_rate=0.8, confidence=0.95)
N = 96  # pictures a concept and arm


def concept(name: str, role: str, before: int = N, after: int = N, category: str = "object", n: int = N) -> list[Row]:
    """Its `rows`, asked for by name and by alias in turn."""
    made = rows(name, role, before, after, n, category=category)
    return [replace(row, probe=("name", "alias")[row.seed % 2]) for row in made]


def evidence(*concepts: list[Row]) -> pd.DataFrame:
    return table(row for concept in concepts for row in concept)


def verdict(*concepts: list[Row], limits: Acceptance = LIMITS) -> Verdict:
    frame = evidence(*concepts)
    return decide(frame, len(frame), limits)


PANDA, FOX, CAT = (
    concept("panda", "target", after=2),
    concept("fox", "look_alike"),
    concept("cat", "general", after=95) + concept("dog", "general"),
)


@pytest.mark.parametrize(("k", "n"), [(0, 8), (1, 8), (3, 40), (20, 40), (39, 40), (40, 40), (0, 1), (1, 1)])
def test_bounds_equal_the_exact_binomial_interval(k, n):
    upper = stats.binomtest(k, n, alternative="less").proportion_ci(0.95, method="exact").high
    lower = stats.binomtest(k, n, alternative="greater").proportion_ci(0.95, method="exact").low
    assert clopper_pearson_upper(k, n, 0.95) == pytest.approx(upper, abs=1e-12)
    assert clopper_pearson_lower(k, n, 0.95) == pytest.approx(lower, abs=1e-12)


def test_no_pictures_prove_nothing_and_impossible_counts_are_refused():
    assert (clopper_pearson_lower(0, 0, 0.95), clopper_pearson_upper(0, 0, 0.95)) == (0.0, 1.0)
    assert drop_bounds(0, 0, 0, 0.95) == (-1.0, 1.0)
    for k, n, confidence in [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 0.0), (1, 3, 1.0), (1, 3, math.nan)]:
        with pytest.raises(ValueError, match=r"count|confidence"):
            clopper_pearson_upper(k, n, confidence)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_bounds_cover_the_true_share(share):
    n, draws = 32, np.random.default_rng(7).binomial(32, share, size=2000)
    upper = np.array([clopper_pearson_upper(k, n, 0.95) for k in range(n + 1)])
    lower = np.array([clopper_pearson_lower(k, n, 0.95) for k in range(n + 1)])
    assert (upper[draws] >= share).mean() > 0.94
    assert (lower[draws] <= share).mean() > 0.94


@pytest.mark.parametrize(("lost", "gained"), [(0.04, 0.0), (0.1, 0.05), (0.02, 0.2), (0.45, 0.45)])
def test_paired_bounds_cover_the_true_drop(lost, gained):
    n, draws = 40, np.random.default_rng(11).multinomial(40, [lost, gained, 1 - lost - gained], size=2000)
    counts, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    bounds = np.array([drop_bounds(int(a), int(b), n, 0.95) for a, b in counts])
    drop = lost - gained
    assert times[bounds[:, 1] >= drop].sum() / 2000 > 0.94
    assert times[bounds[:, 0] <= drop].sum() / 2000 > 0.94


def test_each_half_of_a_drop_is_bounded_at_half_the_error():
    lost, gained = (stats.binomtest(k, N).proportion_ci(0.95, method="exact") for k in (5, 2))
    expected = lost.low - gained.high, lost.high - gained.low
    assert drop_bounds(5, 2, N, 0.95) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("limit", "confidence"), [(0.1, 0.95), (0.05, 0.975), (0.01, 0.99), (0.9, 0.5)])
def test_the_fewest_pictures_that_prove_a_limit_are_the_fewest(limit, confidence):
    n = fewest(lambda n: clopper_pearson_upper(0, n, confidence) <= limit)
    assert clopper_pearson_upper(0, n, confidence) <= limit
    assert n == 1 or clopper_pearson_upper(0, n - 1, confidence) > limit


def test_numbers_that_plans_rest_on():
    assert fewest(lambda n: clopper_pearson_upper(0, n, 0.95) <= 0.10) == 29
    assert fewest(lambda n: drop_bounds(0, 0, n, 0.95)[1] <= 0.05) == 72


def test_all_bounds_inside_is_a_pass_with_everything_reported():
    result = verdict(PANDA, FOX, CAT)
    assert (result.outcome, result.reasons) == (Outcome.PASS, ())
    panda = result.targets[0]
    assert (panda.total.seen, panda.total.n, panda.total.before) == (2, N, 1.0)
    assert panda.total.upper == pytest.approx(clopper_pearson_upper(2, N, 0.95), abs=1e-6)
    assert panda.total.upper >= clopper_pearson_upper(2, N, 0.95)
    assert {probe: (rate.n, rate.seen) for probe, rate in panda.probes.items()} == {"name": (48, 1), "alias": (48, 1)}
    assert [(group.name, group.worst, group.total.lost) for group in result.groups] == [
        ("general/object", "cat", 1),
        ("look_alike/object", "fox", 0),
    ]


def test_what_is_kept_may_be_general_alone():
    assert verdict(PANDA, CAT).outcome == Outcome.PASS


def test_at_its_limit_is_not_over_it_and_a_bound_at_it_is_proven():
    assert codes(verdict(concept("panda", "target", before=120, after=12, n=120), FOX)) == [
        ("target-unproven", "panda")
    ]
    kept = concept("fox", "look_alike", before=100, after=95, n=100)
    assert codes(verdict(PANDA, kept)) == [("group-unproven", "look_alike/object")]
    found = verdict(PANDA, FOX)
    upper = found.targets[0].total.upper, found.groups[0].total.upper
    at_bound = replace(LIMITS, max_target_rate=upper[0], max_retain_drop=upper[1])
    assert verdict(PANDA, FOX, limits=at_bound).outcome == Outcome.PASS


def test_a_target_still_seen_fails():
    result = verdict(concept("panda", "target", after=12), FOX)
    assert (result.outcome, codes(result)) == (Outcome.FAIL, [("target-seen", "panda")])
    assert (result.reasons[0].value, result.reasons[0].limit) == (0.125, 0.10)


def test_a_target_inside_its_limit_whose_bound_is_not_is_inconclusive():
    result = verdict(concept("panda", "target", after=6), FOX)
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("target-unproven", "panda")])


def test_too_few_pictures_are_inconclusive_and_say_how_many_are_needed():
    result = verdict(concept("panda", "target", after=0, before=28, n=28), FOX)
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("target-too-few", "panda")])
    assert (result.reasons[0].value, result.reasons[0].limit) == (28, 29)
    assert verdict(concept("panda", "target", after=0, before=29, n=29), FOX).outcome == Outcome.PASS


def test_a_judge_that_never_saw_the_target_is_inconclusive_not_a_pass():
    result = verdict(concept("panda", "target", before=76, after=0), FOX)
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("target-control", "panda")])
    assert result.reasons[0].value == pytest.approx(76 / 96, abs=1e-6)
    assert verdict(concept("panda", "target", before=77, after=0), FOX).outcome == Outcome.PASS


def test_a_judge_that_never_saw_the_retained_is_inconclusive_not_a_pass():
    result = verdict(PANDA, concept("fox", "look_alike", before=47, after=47))
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("group-control", "look_alike/object")])
    assert verdict(PANDA, concept("fox", "look_alike", before=48, after=48)).outcome == Outcome.PASS


def test_concepts_that_were_never_shown_do_not_thin_out_what_the_others_lost():
    foxes = [concept(f"fox {n}", "look_alike", after=88) for n in range(3)]
    unseen = [concept(f"wolf {n}", "look_alike", before=0, after=0) for n in range(5)]
    alone, thinned = verdict(PANDA, *foxes), verdict(PANDA, *foxes, *unseen)
    assert (alone.outcome, codes(alone)) == (Outcome.FAIL, [("group-drop", "look_alike/object")])
    assert codes(thinned) == codes(alone)
    assert thinned.groups[0].total == alone.groups[0].total
    assert thinned.groups[0].concepts == 8
    assert [kept.concept for kept in thinned.retained if kept.total.before == 0] == [f"wolf {n}" for n in range(5)]


def test_a_kept_concept_that_is_shown_in_half_is_counted():
    half = concept("wolf", "look_alike", before=N // 2, after=N // 2)
    assert verdict(PANDA, FOX, half).groups[0].total.n == 2 * N


def test_what_was_hardly_shown_is_not_lost_for_free():
    rare = [replace(row, seen=row.arm == "before" and row.seed < 30) for row in FOX]
    result = verdict(PANDA, rare, concept("dog", "look_alike"))
    assert (result.groups[0].total.lost, result.groups[0].total.n) == (30, N + 30)
    assert ("group-drop", "look_alike/object") in codes(result)


def test_a_group_that_drops_fails_and_names_its_worst():
    result = verdict(PANDA, concept("fox", "look_alike", after=86), concept("wolf", "look_alike", after=94))
    assert (result.outcome, codes(result)) == (Outcome.FAIL, [("group-drop", "look_alike/object")])
    assert "worst is fox" in result.reasons[0].message


def test_a_group_inside_its_limit_whose_bound_is_not_is_inconclusive():
    result = verdict(PANDA, concept("fox", "look_alike", after=93))
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("group-unproven", "look_alike/object")])


def test_too_few_pairs_are_inconclusive():
    result = verdict(PANDA, concept("fox", "look_alike", before=71, after=71, n=71))
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("group-too-few", "look_alike/object")])
    assert verdict(PANDA, concept("fox", "look_alike", before=72, after=72, n=72)).outcome == Outcome.PASS


def test_fewer_pairs_do_where_so_many_gained_that_the_bound_holds():
    """Sampling in rounds stops at that bound, so the verdict must not ask for more."""
    result = verdict(PANDA, concept("fox", "look_alike", before=50, after=60, n=60))
    assert result.groups[0].total.upper < LIMITS.max_retain_drop
    assert result.outcome == Outcome.PASS


def test_one_collapsed_concept_fails_in_a_group_that_hides_it():
    herd = [concept(f"fox{i}", "look_alike") for i in range(9)]
    calm, torn = verdict(PANDA, *herd), verdict(PANDA, *herd, concept("wolf", "look_alike", after=72))
    assert calm.outcome == Outcome.PASS
    assert torn.groups[0].total.upper <= LIMITS.max_retain_drop
    assert (torn.outcome, codes(torn)) == (Outcome.FAIL, [("concept-collapse", "wolf")])


def test_groups_do_not_hide_each_other():
    result = verdict(PANDA, FOX, concept("noir", "general", after=80, category="style"), CAT)
    assert ("group-drop", "general/style") in codes(result)
    assert [group.name for group in result.groups] == ["general/object", "general/style", "look_alike/object"]


def test_gains_do_not_pay_for_more_than_they_prove():
    swapped = [replace(row, seen=(row.seed < 63) if row.arm == "before" else (row.seed >= 33)) for row in FOX]
    result = verdict(PANDA, swapped, concept("dog", "look_alike"))
    assert result.groups[0].total.drop == 0.0
    assert (result.groups[0].total.lost, result.groups[0].total.gained) == (33, 33)
    assert result.outcome == Outcome.INCONCLUSIVE


def test_the_gravest_reason_wins():
    unseen, still = concept("panda", "target", before=0, after=0), concept("bear", "target", after=90)
    assert verdict(unseen, still, FOX).outcome == Outcome.FAIL
    assert decide(evidence(unseen, still, FOX), 1, LIMITS).outcome == Outcome.ERROR


def test_taking_any_single_row_from_a_passing_table_is_an_error():
    frame = evidence(concept("panda", "target", 29, 0, n=29), concept("fox", "look_alike", 72, 72, n=72))
    assert decide(frame, len(frame), LIMITS).outcome == Outcome.PASS
    for planned in (len(frame), len(frame) - 1):
        assert {decide(frame.drop(index=row), planned, LIMITS).outcome for row in frame.index} == {Outcome.ERROR}


TEXT = ("concept", "role", "category", "probe", "prompt", "arm", "picture", "fault")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.head(0),
        lambda frame: frame.assign(score=math.nan),
        lambda frame: frame.assign(score=frame["score"].where(frame.index != 5, math.nan)),
        lambda frame: frame.assign(score=-math.inf),
        lambda frame: pd.concat([frame.iloc[1:], frame.iloc[1:2]]),
        lambda frame: frame.drop(columns="seen"),
        *(lambda frame, name=name: frame.assign(**{name: frame[name].where(frame.index != 5)}) for name in TEXT),
        lambda frame: frame.assign(fault="black picture"),
        lambda frame: frame.assign(role="target"),
        lambda frame: frame.assign(role="general"),
        lambda frame: frame.query("arm == 'after'"),
    ],
)
def test_unfit_evidence_is_an_error_never_a_pass(spoil):
    spoilt = spoil(evidence(PANDA, FOX))
    for planned in (4 * N, len(spoilt)):
        result = decide(spoilt, planned, LIMITS)
        assert result.outcome == Outcome.ERROR
        assert {reason.code for reason in result.reasons} == {"evidence"}


@pytest.mark.parametrize("name", ["max_target_rate", "max_retain_drop", "min_control_rate", "confidence"])
@pytest.mark.parametrize("value", [0.0, -0.1, 1.1, math.nan])
def test_a_limit_that_no_picture_can_prove_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        replace(LIMITS, **{name: value})


def test_json_gives_the_same_verdict_back():
    for result in (verdict(PANDA, FOX, CAT), verdict(concept("panda", "target"), FOX), decide(table([]), 4, LIMITS)):
        assert Verdict.from_json(result.to_json()) == result


def test_a_flipped_outcome_is_refused():
    text = verdict(concept("panda", "target"), FOX).to_json()
    with pytest.raises(ValueError, match="the verdict was altered"):
        Verdict.from_json(json.dumps(json.loads(text) | {"outcome": "PASS"}))


@pytest.mark.parametrize("family", ["alias", "nobody"])
def test_a_limit_of_a_family_that_asked_for_no_target_is_an_error_that_names_it(family):
    """Else a limit that is misspelt, or of a family that the level does not make, would hold nothing and pass."""
    asked = rows("panda", "target", N, 0, N, "name"), rows("fox", "look_alike", N, N, N, "alias")
    limits = replace(LIMITS, probe_limits={"name": 0.1, family: 0.1})
    result = verdict(*asked, limits=limits)
    assert result.outcome == Outcome.ERROR
    (reason,) = [reason.message for reason in result.reasons]
    assert f"limits the probe {family}, which asked for no target" in reason
    assert verdict(*asked, limits=replace(LIMITS, probe_limits={"name": 0.1})).outcome == Outcome.PASS


def test_nothing_of_a_verdict_can_be_changed():
    assert changeable(verdict_module) == []
