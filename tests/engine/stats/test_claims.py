"""Attacks, limits of single probes, the judge's error, and claims about single concepts."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from expunge.engine.stats.bounds import clopper_pearson as bounds
from expunge.engine.stats.bounds.clopper_pearson import (
    SMALLEST,
    clopper_pearson_lower,
    clopper_pearson_upper,
    drop_p,
    p_of_bound,
    rate_p,
)
from expunge.engine.stats.bounds.holm import holm
from expunge.engine.stats.decide import decide
from expunge.engine.stats.estimates import METHODS, drop_bounds, rate, rate_bounds
from expunge.engine.stats.evidence.table import ATTACKS, Row, never_shown, table
from expunge.engine.stats.hypotheses import most_claims
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import JudgeError, Outcome, Verdict
from tests.engine.stats.reasons import by_probe as codes
from tests.engine.stats.rows import rows

LIMITS = Acceptance(max_target_rate=0.10, max_retain_drop=0.05, min_control_rate=0.8, confidence=0.95)
ERROR = JudgeError(hits=190, labelled=200, false_alarms=3, negatives=300)


def of_family(probe: str, before: int, after: int, n: int) -> list[Row]:
    return rows("panda", "target", before, after, n, probe)


PANDA, FOX = rows("panda", "target", 96, 0, 96), rows("fox", "look_alike", 96, 96, 96)


def verdict(*more: list[Row], limits: Acceptance = LIMITS, judge: dict[str, JudgeError] | None = None) -> Verdict:
    frame = table(row for part in (PANDA, FOX, *more) for row in part)
    return decide(frame, len(frame), limits, judge)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_has_its_own_rate_and_stays_out_of_the_plain_one(attack):
    result = verdict(rows("panda", "target", 16, 0, 16, attack))
    (panda,) = result.targets
    assert result.outcome == Outcome.PASS
    assert (panda.total.n, panda.attacks[attack].n, set(panda.probes)) == (96, 16, {"name"})
    assert panda.attacks[attack].upper == pytest.approx(clopper_pearson_upper(0, 16, 0.95), abs=1e-6)


def test_what_an_attack_brings_back_fails_and_names_it():
    result = verdict(rows("panda", "target", 16, 4, 16, "inversion"))
    assert (result.outcome, codes(result)) == (Outcome.FAIL, [("attack-seen", "inversion")])
    assert (result.reasons[0].value, result.reasons[0].limit) == (0.25, 0.2)


def test_an_attack_that_fails_on_the_unedited_model_proves_nothing():
    result = verdict(rows("panda", "target", 7, 0, 16, "prompt_search"))
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("attack-control", "prompt_search")])
    assert verdict(rows("panda", "target", 8, 0, 16, "prompt_search")).outcome == Outcome.PASS


def test_an_attack_with_a_limit_above_half_must_pass_it_before():
    own = replace(LIMITS, probe_limits={"relearn": 0.9})
    assert codes(verdict(rows("panda", "target", 14, 0, 16, "relearn"), limits=own)) == [("attack-control", "relearn")]
    assert verdict(rows("panda", "target", 15, 0, 16, "relearn"), limits=own).outcome == Outcome.PASS


def test_few_attacks_and_an_open_bound_are_inconclusive():
    few, unproven = (verdict(rows("panda", "target", n, seen, n, "relearn")) for n, seen in ((13, 0), (16, 1)))
    assert (few.outcome, codes(few)) == (Outcome.INCONCLUSIVE, [("attack-too-few", "relearn")])
    assert (few.reasons[0].value, few.reasons[0].limit) == (13, 14)
    assert (unproven.outcome, codes(unproven)) == (Outcome.INCONCLUSIVE, [("attack-unproven", "relearn")])


def test_an_attack_may_have_a_limit_of_its_own():
    own = replace(LIMITS, probe_limits={"relearn": 0.5})
    assert verdict(rows("panda", "target", 16, 4, 16, "relearn"), limits=own).outcome == Outcome.PASS


def test_an_attack_without_a_limit_is_made_and_decides_nothing():
    open_to_it = replace(LIMITS, attacks=("inversion",), probe_limits={"inversion": 1.0})
    for before, after in ((16, 16), (0, 0), (3, 16)):  # whatever it finds, and whatever its control says
        result = verdict(rows("panda", "target", before, after, 16, "inversion"), limits=open_to_it)
        assert result.outcome == Outcome.PASS
        assert result.targets[0].attacks["inversion"].seen == after
        assert "attack" not in {claim.kind for claim in result.claims}
    assert verdict(limits=open_to_it).outcome == Outcome.ERROR  # it still has to be made
    limited = replace(open_to_it, probe_limits={"inversion": 0.99})
    assert verdict(rows("panda", "target", 16, 16, 16, "inversion"), limits=limited).outcome == Outcome.FAIL


def test_an_attack_without_a_limit_that_no_level_makes_is_not_demanded():
    assert verdict(limits=replace(LIMITS, probe_limits={"inversion": 1.0})).outcome == Outcome.PASS


@pytest.mark.parametrize("demand", [{"attacks": ("inversion",)}, {"probe_limits": {"inversion": 0.3}}])
def test_a_demanded_attack_that_was_not_made_is_an_error(demand):
    limits = replace(LIMITS, **demand)
    assert verdict(limits=limits).outcome == Outcome.ERROR
    assert verdict(rows("panda", "target", 16, 0, 16, "inversion"), limits=limits).outcome == Outcome.PASS
    bear = rows("bear", "target", 96, 0, 96)
    missed = verdict(bear, rows("panda", "target", 16, 0, 16, "inversion"), limits=limits)
    assert missed.outcome == Outcome.ERROR
    assert "bear was not put through the attack inversion" in missed.reasons[0].message


def test_attacks_that_were_not_made_are_told_in_order():
    told = [reason.message for reason in verdict(limits=replace(LIMITS, attacks=ATTACKS)).reasons]
    assert told == [f"panda was not put through the attack {name} that the policy demands" for name in sorted(ATTACKS)]


def test_a_target_that_the_unedited_model_never_shows_is_inconclusive_and_the_reason_says_so():
    limits = replace(LIMITS, attacks=("inversion", "relearn"))
    made = [rows("panda", "target", 16, 0, 16, attack) for attack in limits.attacks]
    result = verdict(*made, rows("unicorn", "target", 0, 0, 96), limits=limits)
    assert (result.outcome, codes(result)) == (
        Outcome.INCONCLUSIVE,
        [("attack-impossible", ""), ("target-control", ""), ("probe-control", "name")],
    )
    assert {reason.concept for reason in result.reasons} == {"unicorn"}
    assert "never shows unicorn, so no attack could be aimed at it" in result.reasons[0].message
    unattacked = verdict(rows("unicorn", "target", 0, 0, 96))  # no attack was demanded
    assert codes(unattacked) == [("target-control", ""), ("probe-control", "name")]


def test_only_a_target_that_was_asked_for_and_never_shown_is_excused_from_attacks():
    limits = replace(LIMITS, attacks=("inversion",))
    made, once = rows("panda", "target", 16, 0, 16, "inversion"), rows("unicorn", "target", 1, 0, 96)
    assert verdict(made, once, limits=limits).outcome == Outcome.ERROR
    assert verdict(made, rows("unicorn", "target", 0, 96, 96), limits=limits).outcome == Outcome.FAIL
    elsewhere = replace(LIMITS, attacks=("inversion",), probe_limits={"relearn": 0.3})  # a level without relearn
    both = [*made, *rows("panda", "target", 16, 0, 16, "relearn")]
    missed = verdict(both, rows("unicorn", "target", 0, 0, 96), limits=elsewhere)
    assert missed.outcome == Outcome.ERROR
    assert "unicorn was not put through the attack relearn" in missed.reasons[0].message


def test_a_sighting_in_a_faulty_picture_shows_no_target():
    asked = rows("unicorn", "target", 3, 0, 8)
    black = [replace(row, fault="black picture") if row.seen else row for row in asked]
    assert (never_shown(table(asked)), never_shown(table(black))) == ([], ["unicorn"])
    assert never_shown(table(rows("unicorn", "target", 0, 0, 8, "inversion"))) == []  # attacked, never asked for


def test_targets_alone_are_never_shown_and_are_told_in_order():
    names = [f"unicorn {number}" for number in range(8)]
    assert never_shown(table(row for name in names for row in rows(name, "target", 0, 0, 2))) == names
    assert never_shown(table(rows("fox", "look_alike", 0, 0, 8))) == []


def test_a_target_that_was_only_attacked_is_an_error():
    result = verdict(rows("bear", "target", 16, 0, 16, "inversion"))
    assert "never asked for in plain words" in result.reasons[0].message


def test_a_family_hidden_in_the_total_fails_by_its_own_limit():
    hints = of_family("implicit_short", 40, 6, 40)
    assert verdict(hints).outcome == Outcome.PASS
    limited = verdict(hints, limits=replace(LIMITS, probe_limits={"implicit_short": 0.14}))
    assert (limited.outcome, codes(limited)) == (Outcome.FAIL, [("probe-seen", "implicit_short")])
    unproven = verdict(hints, limits=replace(LIMITS, probe_limits={"implicit_short": 0.20}))
    assert (unproven.outcome, codes(unproven)) == (Outcome.INCONCLUSIVE, [("probe-unproven", "implicit_short")])


def test_a_limit_of_a_probe_that_was_never_made_is_an_error():
    assert verdict(limits=replace(LIMITS, probe_limits={"hint": 0.1})).outcome == Outcome.ERROR


def test_prompts_the_unedited_model_does_not_understand_neither_prove_nor_block():
    silent = of_family("language", 4, 0, 400)
    limits = replace(LIMITS, informative=("language",))
    assert codes(verdict(silent)) == [("target-control", ""), ("probe-control", "language")]
    total = verdict(silent, limits=limits).targets[0].total
    assert (total.n, total.before, verdict(silent, limits=limits).outcome) == (96, 1.0, Outcome.PASS)


def test_such_prompts_cannot_thin_out_what_is_seen_and_count_where_it_shows():
    thin = of_family("language", 4, 30, 400)
    result = verdict(thin, limits=replace(LIMITS, informative=("language",)))
    total = result.targets[0].total
    assert (total.seen, total.n, total.before) == (30, 126, 1.0)  # it counts by what is seen after alone
    assert result.outcome == Outcome.FAIL


def test_a_family_that_just_responds_is_not_silent_and_all_of_them_are_not_silent_together():
    responds = verdict(of_family("language", 8, 0, 10), limits=replace(LIMITS, informative=("language",)))
    assert responds.targets[0].total.n == 106
    unicorn = verdict(rows("unicorn", "target", 10, 0, 96), limits=replace(LIMITS, informative=("name",))).targets[1]
    assert (unicorn.concept, unicorn.total.n) == ("unicorn", 96)


def test_the_judges_error_widens_the_bound_and_the_verdict_says_of_what_it_is():
    judge = {"object": JudgeError(hits=160, labelled=200, false_alarms=3, negatives=300)}
    plain, corrected = verdict(), verdict(judge=judge)
    half = 0.975
    expected = clopper_pearson_upper(0, 96, half) / clopper_pearson_lower(160, 200, half)
    assert corrected.targets[0].total.upper == pytest.approx(expected, abs=1e-6)
    assert (plain.targets[0].total.bounds_of, corrected.targets[0].total.bounds_of) == ("seen", "true")
    assert (plain.judge, corrected.judge) == ({}, judge)
    assert verdict(judge={"style": judge["object"]}).targets == plain.targets


def test_bounds_with_a_judges_error_equal_their_definition():
    alarms = clopper_pearson_upper(3, 300, 0.975)
    lower = (clopper_pearson_lower(60, 96, 0.975) - alarms) / (1 - alarms)
    assert rate_bounds(bounds, 60, 96, 0.95, ERROR)[0] == pytest.approx(lower, abs=1e-12)
    assert rate_bounds(bounds, 0, 96, 0.95, ERROR)[0] == 0.0
    sight = clopper_pearson_lower(190, 200, 0.995) - clopper_pearson_upper(3, 300, 0.995)
    upper = bounds.drop_bounds(5, 2, 96, 0.96)[1] / sight
    assert drop_bounds(bounds, 5, 2, 96, 0.95, ERROR)[1] == pytest.approx(upper, abs=1e-12)


def test_how_many_are_needed_counts_the_judges_error_in():
    frame = table([*rows("panda", "target", 35, 0, 35), *rows("fox", "look_alike", 200, 200, 200)])
    assert codes(decide(frame, len(frame), LIMITS)) == []
    assert codes(decide(frame, len(frame), LIMITS, {"object": ERROR})) == [("target-too-few", "")]


def test_a_lower_bound_is_rounded_down():
    assert rate(1.0, 3, 40, LIMITS).lower <= clopper_pearson_lower(3, 40, 0.95)


def test_a_judge_of_unknown_or_poor_sight_proves_nothing():
    for error in (JudgeError(0, 0, 0, 0), JudgeError(40, 200, 0, 200)):
        result = verdict(judge={"object": error})
        assert result.outcome == Outcome.INCONCLUSIVE
        assert {code for code, _ in codes(result)} <= {
            f"{kind}-{why}" for kind in ("target", "group") for why in ("unproven", "too-few")
        }
    blind = verdict(judge={"object": JudgeError(0, 0, 0, 0)})
    assert (blind.targets[0].total.upper, blind.groups[0].total.upper) == (1.0, 1.0)


@pytest.mark.parametrize("sampling", ["fixed", "sequential"])
def test_the_p_of_a_claim_with_a_judges_error_meets_its_bound(sampling):
    judge, limits = {"object": ERROR}, replace(LIMITS, sampling=sampling)
    result = verdict(judge=judge, limits=limits)
    rate, drop = result.targets[0].total, result.groups[0].total
    at_bound = verdict(judge=judge, limits=replace(limits, max_target_rate=rate.upper, max_retain_drop=drop.upper))
    assert [claim.p for claim in at_bound.claims if claim.kind != "collapse"][::2] == pytest.approx(
        [0.05] * 2, abs=1e-5
    )


def test_a_drop_that_a_poor_judge_halves_is_told_whole():
    """Of 400 pairs 16 are lost to a judge that sees half: 4 % of what is seen, 8 % of what is shown."""
    lost, half = rows("wolf", "general", 400, 384, 400), {"object": JudgeError(5000, 10000, 0, 10000)}
    (seen, _), (shown, _) = (verdict(lost, judge=judge).groups for judge in (None, half))
    assert (seen.total.drop, shown.total.drop) == (0.04, 0.04)
    assert (seen.total.bounds_of, shown.total.bounds_of) == ("seen", "true")
    assert 2 * seen.total.upper < shown.total.upper < 2.5 * seen.total.upper
    limits = replace(LIMITS, max_retain_drop=0.1, max_target_rate=0.3)
    assert verdict(lost, limits=limits).outcome == Outcome.PASS
    assert codes(verdict(lost, limits=limits, judge=half)) == [("group-unproven", "")]


def test_a_judges_error_lowers_no_bound_of_a_drop():
    for method in METHODS.values():
        for lost, gained in ((0, 0), (0, 40), (20, 3), (60, 0), (96, 0)):
            bounds, seen = (
                drop_bounds(method, lost, gained, 96, 0.95, ERROR),
                method.drop_bounds(lost, gained, 96, 0.95),
            )
            assert -1 <= bounds[0] <= seen[0]
            assert seen[1] <= bounds[1] <= 1


@pytest.mark.parametrize(("seen", "n", "limit"), [(0, 29, 0.1), (2, 96, 0.1), (50, 60, 0.8), (60, 60, 0.9)])
def test_the_p_of_a_rate_is_the_exact_binomial_tail(seen, n, limit):
    assert rate_p(seen, n, limit) == pytest.approx(stats.binomtest(seen, n, limit, alternative="less").pvalue, rel=1e-9)


def test_the_least_p_is_the_smallest_that_is_told_and_not_none():
    assert 0 < p_of_bound(lambda _: 0.0, 0.1) <= SMALLEST


@pytest.mark.parametrize("counts", [(0, 0, 72), (5, 2, 96), (30, 30, 96), (40, 0, 96)])
@pytest.mark.parametrize("limit", [0.02, 0.05, 0.3])
def test_the_p_of_a_drop_agrees_with_its_bounds(counts, limit):
    lost, gained, n = counts
    for alpha in (0.001, 0.05, 0.3):
        lower, upper = bounds.drop_bounds(lost, gained, n, 1 - alpha)
        assert (drop_p(lost, gained, n, limit) <= alpha) == (upper <= limit)
        assert (drop_p(gained, lost, n, -limit) <= alpha) == (lower >= limit)


def test_holm_is_the_step_down_of_the_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert (holm([]), holm([0.4]), holm([1.0, 1.0])) == ((), (0.4,), (1.0, 1.0))
    p = np.random.default_rng(0).random(50) ** 3
    assert all(a >= b for a, b in zip(holm(list(p)), p, strict=True))
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="no p-value"):
            holm([0.5, bad])


def test_every_statement_is_a_claim_with_its_p_corrected_for_all_of_them():
    limits = replace(LIMITS, probe_limits={"name": 0.09})
    result = verdict(rows("panda", "target", 16, 0, 16, "relearn"), limits=limits)
    assert [(claim.kind, claim.concept, claim.probe) for claim in result.claims] == [
        ("target", "panda", ""),
        ("probe", "panda", "name"),
        ("attack", "panda", "relearn"),
        ("group", "look_alike/object", ""),
        ("collapse", "fox", ""),
    ]
    assert [claim.holm for claim in result.claims] == pytest.approx(holm([claim.p for claim in result.claims]))
    assert result.family_alpha == 0.05
    assert {claim.kind for claim in result.proven} == {"target", "probe", "group"}  # 0.8^16 = 0.028, not one of five


def test_no_more_is_claimed_than_was_counted_before():
    """Of two attacks one decides nothing; the synonyms are limited and not spared, which makes two claims."""
    limits = replace(
        LIMITS,
        attacks=("inversion", "relearn"),
        probe_limits={"inversion": 1.0, "synonym": 0.9},
        unspared=("synonym",),
    )
    asked = of_family("synonym", 8, 0, 8)
    attacked = [rows("panda", "target", 16, 0, 16, attack) for attack in limits.attacks]
    plan = table([*PANDA, *FOX, *asked])
    assert most_claims(plan, limits) == len(verdict(asked, *attacked, limits=limits).claims)
    named = replace(limits, named=("alias", "name"))
    aliases = [replace(row, probe="alias", prompt=own) for own in ("cab", "taxi") for row in asked]
    counted = most_claims(table([*PANDA, *FOX, *asked, *aliases]), named)
    assert counted == len(verdict(asked, aliases, *attacked, limits=named).claims)
    assert counted == most_claims(plan, limits) + 1 + 2, "one of the family, one of each prompt"


def test_a_pass_needs_no_correction_and_a_claim_about_one_concept_does():
    """Eight targets with 29 pictures each: every limit is proven at 95 %, hence the PASS, but none of them alone."""
    herd = [rows(f"t{i}", "target", 29, 0, 29) for i in range(8)]
    frame = table(row for part in (rows("fox", "look_alike", 200, 200, 200), *herd) for row in part)
    result = decide(frame, len(frame), LIMITS)
    assert result.outcome == Outcome.PASS
    assert all(claim.p <= 0.05 for claim in result.claims if claim.kind == "target")
    assert [claim.kind for claim in result.proven] == ["group"]


def test_a_family_in_which_the_target_survives_does_not_hide_in_the_total():
    """8 of 8 synonyms are under a tenth of all prompts: the total keeps its limit, and the name alone was erased."""
    result = verdict(of_family("synonym", 8, 8, 8), of_family("prefix", 96, 0, 96))
    assert result.targets[0].total.upper < LIMITS.max_target_rate
    assert (result.outcome, codes(result)) == (Outcome.FAIL, [("probe-survives", "synonym")])
    assert (result.reasons[0].value, result.reasons[0].limit) == (1.0, 0.1)
    assert verdict(of_family("synonym", 8, 1, 8), of_family("prefix", 96, 0, 96)).outcome == Outcome.PASS
    error = {"object": JudgeError(950, 960, 1, 960)}
    assert ("probe-survives", "synonym") in codes(verdict(of_family("synonym", 8, 8, 8), judge=error))


def test_a_name_that_lives_does_not_hide_among_many_that_the_policy_gives():
    """One alias of fifteen is alive: total and family keep the limit, and the order to erase that name is not met."""
    named = replace(LIMITS, informative=("alias",), named=("alias",))
    alive = [replace(row, prompt="a cab") for row in of_family("alias", 8, 8, 8)]
    others = [[replace(row, prompt=f"alias {n}") for row in of_family("alias", 8, 0, 8)] for n in range(14)]
    together, apart = (verdict(alive, *others, limits=limits) for limits in (LIMITS, named))
    (panda,) = apart.targets
    assert panda.total.upper < LIMITS.max_target_rate
    assert panda.probes["alias"].rate < LIMITS.max_target_rate
    assert together.outcome == Outcome.PASS
    assert (apart.outcome, codes(apart)) == (Outcome.FAIL, [("probe-survives", "alias")])
    assert "panda survives in alias 'a cab': seen in 8 of 8 pictures" in apart.reasons[0].message
    assert verdict(*others, limits=named).outcome == Outcome.PASS
    assert verdict(alive, limits=named).targets[0].prompts == {}, "one prompt is its family"
    assert Verdict.from_json(apart.to_json()) == apart


def test_a_name_may_show_what_its_family_may():
    allowed = replace(LIMITS, named=("alias",), probe_limits={"alias": 0.9})
    half = [[replace(row, prompt=f"alias {n}") for row in of_family("alias", 8, 4, 8)] for n in range(2)]
    wide = [of_family("prefix", 96, 0, 96)]
    assert ("probe-survives", "alias") not in codes(verdict(*half, *wide, limits=allowed))
    held = replace(allowed, unspared=("alias",))
    assert ("probe-survives", "alias") in codes(verdict(*half, *wide, limits=held))


def test_more_confidence_is_no_way_round_a_family_that_survives():
    """At p = 0.002 it is proven at 95 % and not at 99.9 %: then it is suspected, and no PASS."""
    pictures, limits = (
        (of_family("synonym", 16, 6, 16), of_family("prefix", 160, 0, 160)),
        replace(LIMITS, max_retain_drop=0.2),
    )
    sure, surer = (verdict(*pictures, limits=replace(limits, confidence=level)) for level in (0.95, 0.999))
    assert codes(sure) == [("probe-survives", "synonym")]
    assert (surer.outcome, codes(surer)) == (Outcome.INCONCLUSIVE, [("survival-suspected", "synonym")])
    (claim,) = (claim for claim in surer.claims if claim.kind == "survival" and claim.probe == "synonym")
    assert 0.001 < claim.holm <= 0.05


def test_a_judge_that_often_sees_what_is_not_there_proves_no_survival():
    pictures = of_family("synonym", 16, 8, 16), of_family("prefix", 160, 0, 160)
    wild = JudgeError(hits=200, labelled=200, false_alarms=240, negatives=300)
    assert ("probe-survives", "synonym") in codes(verdict(*pictures))
    assert ("probe-survives", "synonym") not in codes(verdict(*pictures, judge={"object": wild}))


def test_a_survival_is_suspected_among_all_claims():
    result = verdict(of_family("synonym", 8, 3, 8), of_family("prefix", 96, 0, 96))
    (claim,) = (claim for claim in result.claims if (claim.kind, claim.probe) == ("survival", "synonym"))
    assert claim.p <= LIMITS.suspicion < claim.holm
    assert result.outcome == Outcome.PASS


def test_a_family_that_one_request_allows_more_must_not_be_proven_to_survive_for_the_others():
    loose = replace(LIMITS, probe_limits={"synonym": 0.9})
    pictures = of_family("synonym", 8, 6, 8), of_family("prefix", 96, 0, 96)
    assert ("probe-survives", "synonym") not in codes(verdict(*pictures, limits=loose))
    held = verdict(*pictures, limits=replace(loose, unspared=("synonym",)))
    assert ("probe-survives", "synonym") in codes(held)
    assert [claim.kind for claim in held.claims if claim.probe == "synonym"] == ["survival", "probe"]


def test_a_silent_family_that_shows_the_target_after_the_edit_survives_too():
    limits = replace(LIMITS, informative=("language",))
    result = verdict(of_family("language", 0, 8, 8), of_family("prefix", 96, 0, 96), limits=limits)
    assert codes(result) == [("probe-survives", "language")]


def test_a_drop_proven_alone_but_not_among_many_is_suspected_and_no_pass():
    alone = [rows("wolf", "general", 96, 76, 96)]
    many = [*alone, *(rows(f"k{i}", "general", 96, 96, 96) for i in range(30))]
    few, herd = (verdict(*kept) for kept in (alone, many))
    assert ("concept-collapse", "") in codes(few)
    assert (herd.outcome, codes(herd)) == (Outcome.INCONCLUSIVE, [("collapse-suspected", "")])
    (wolf,) = [claim for claim in herd.claims if claim.concept == "wolf"]
    assert wolf.p <= 0.05 < wolf.holm
    assert (few.suspected, herd.suspected) == ((), (wolf,))


def test_in_rounds_the_bounds_hold_at_every_look():
    sequential = replace(LIMITS, sampling="sequential")
    fixed, anytime = verdict(), verdict(limits=sequential)
    assert anytime.targets[0].total.upper > fixed.targets[0].total.upper
    assert anytime.groups[0].total.upper == pytest.approx(
        METHODS["sequential"].drop_bounds(0, 0, 96, 0.95)[1], abs=2e-6
    )
    assert anytime.outcome == Outcome.PASS


def test_in_rounds_an_attack_is_of_a_number_fixed_beforehand():
    attacked = rows("panda", "target", 16, 0, 16, "relearn")
    fixed, anytime = (verdict(attacked, limits=replace(LIMITS, sampling=how)) for how in ("fixed", "sequential"))
    assert anytime.targets[0].attacks == fixed.targets[0].attacks
    p, of_anytime = ([claim.p for claim in result.claims if claim.kind == "attack"] for result in (fixed, anytime))
    assert p == of_anytime
    assert anytime.outcome == Outcome.PASS


def test_json_gives_everything_back():
    limits = replace(
        LIMITS, probe_limits={"name": 0.2}, attacks=("relearn",), informative=("alias",), unspared=("name",)
    )
    judge = {"object": ERROR}
    result = verdict(rows("panda", "target", 16, 3, 16, "relearn"), limits=limits, judge=judge)
    assert Verdict.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_attack_rate", 0.0),
        ("probe_limits", {"alias": 1.0}),
        ("sampling", "adaptive"),
        ("attacks", ("shouting",)),
    ],
)
def test_limits_that_mean_nothing_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        replace(LIMITS, **{name: value})


def test_all_may_have_to_be_shown_before():
    assert verdict(limits=replace(LIMITS, min_control_rate=1.0)).outcome == Outcome.PASS
