"""A prompt family that must respond, or has a limit of its own, needs a positive control of its own."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from expunge.engine.models.sampling import Shot
from expunge.engine.probes import Question, Subject
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import Row, table
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.sampling_plan import asked, breaches, next_round, plan_of
from expunge.engine.stats.verdict import Outcome, Verdict
from tests.engine.stats.reasons import by_probe as codes
from tests.engine.stats.rows import rows

LIMITS = Acceptance(0.10, 0.05, 0.75, 0.95, informative=("language", "alias"))
FOX = rows("fox", "look_alike", 96, 96, 96)


def verdict(limits: Acceptance = LIMITS, **families: tuple[int, int]) -> Verdict:
    """Of a target by each family: (seen before, asked); nothing is seen after the edit."""
    panda = [row for name, (before, n) in families.items() for row in rows("panda", "target", before, 0, n, name)]
    frame = table([*panda, *FOX])
    return decide(frame, len(frame), limits)


def test_a_limit_is_not_met_by_a_family_that_the_unedited_model_never_shows():
    limited = replace(LIMITS, probe_limits={"language": 0.05})
    result = verdict(limited, name=(40, 40), language=(0, 80))
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("probe-control", "language")])
    assert (result.reasons[0].concept, result.reasons[0].value, result.reasons[0].limit) == ("panda", 0.0, 0.5)
    assert verdict(limited, name=(40, 40), language=(40, 80)).outcome == Outcome.PASS
    assert verdict(name=(40, 40), language=(0, 80)).outcome == Outcome.PASS  # no limit of its own, and it adds nothing


def test_a_family_that_must_respond_cannot_thin_out_the_rate_in_silence():
    result = verdict(name=(24, 24), policy=(0, 8))
    assert result.targets[0].total.before == LIMITS.min_control_rate
    assert result.targets[0].total.upper < LIMITS.max_target_rate < verdict(name=(24, 24)).targets[0].total.upper
    assert (result.outcome, codes(result)) == (Outcome.INCONCLUSIVE, [("probe-control", "policy")])
    assert verdict(name=(24, 24), policy=(4, 8)).outcome == Outcome.PASS


def test_every_target_has_to_meet_it():
    bear = [*rows("bear", "target", 40, 0, 40), *rows("bear", "target", 1, 0, 8, "policy")]
    frame = table([*rows("panda", "target", 40, 0, 40, "policy"), *bear, *FOX])
    (reason,) = decide(frame, len(frame), LIMITS).reasons
    assert (reason.code, reason.concept, reason.probe) == ("probe-control", "bear", "policy")


def test_a_limit_above_half_must_be_passed_before_and_a_low_demand_on_all_is_one_on_each():
    wide, low = replace(LIMITS, probe_limits={"language": 0.7}), replace(LIMITS, min_control_rate=0.3)
    assert codes(verdict(wide, name=(40, 40), language=(24, 40))) == [("probe-control", "language")]
    assert verdict(wide, name=(40, 40), language=(28, 40)).outcome == Outcome.PASS
    assert verdict(low, name=(20, 40), policy=(6, 20)).outcome == Outcome.PASS
    assert codes(verdict(low, name=(20, 40), policy=(5, 20))) == [("probe-control", "policy")]


IN_ROUNDS = replace(LIMITS, sampling="sequential")
QUESTIONS = [
    Question(Subject(name, role, "object", name), probe, Shot(f"{probe} {name}", number))
    for name, role in (("panda", "target"), ("fox", "look_alike"))
    for probe in ("name", "prefix", "variant", "policy")
    for number in range(20)
]


def in_rounds(shown: Callable[[str, int], bool]) -> tuple[dict[str, int], Verdict]:
    """(pairs of each concept, verdict) of the whole loop; `shown` of family and seed is the target unedited."""
    plan, found = plan_of(QUESTIONS, IN_ROUNDS, 2), []
    while len(due := next_round(plan, table(found), IN_ROUNDS)):
        found += [
            Row(q.subject.id, q.subject.role, "object", q.probe, q.shot.prompt, q.shot.seed, arm, seen, 1.0, "ab" * 32)
            for q in (QUESTIONS[place] for place in due.index)
            for arm in ("before", "after")
            for seen in [q.subject.id == "fox" or (arm == "before" and shown(q.probe, q.shot.seed))]
        ]
    evidence = table(found)
    assert list(breaches(plan, evidence, IN_ROUNDS)) == []
    pairs = {name: count // 2 for name, count in Counter(evidence["concept"]).items()}
    return pairs, decide(evidence, 2 * len(asked(plan, evidence, IN_ROUNDS)), IN_ROUNDS)


def test_rounds_go_on_while_a_family_may_yet_meet_its_control():
    clear, _ = in_rounds(lambda family, seed: True)
    late, passed = in_rounds(lambda family, seed: family != "policy" or seed in (0, 2, 4, 6) or seed >= 10)
    assert clear["panda"] == 40
    assert late["panda"] == 48  # by the policy's prompt 4 of 10, then 6 of 12
    assert passed.outcome == Outcome.PASS


def test_rounds_end_where_a_family_is_proven_not_to_meet_its_control():
    pairs, result = in_rounds(lambda family, seed: family != "policy")
    assert pairs["panda"] == 24  # 0 of 6
    assert ("probe-control", "policy") in codes(result)
    assert result.outcome == Outcome.INCONCLUSIVE


@pytest.mark.parametrize("sampling", ["fixed", "sequential"])
def test_a_bound_over_its_limit_asks_for_rounds_where_the_number_was_fixed(sampling):
    """Asked again with more seeds, bounds of one look are wrong more often than they say."""
    limits = replace(LIMITS, sampling=sampling)
    frame = table([*rows("panda", "target", 96, 6, 96), *rows("fox", "look_alike", 96, 93, 96)])
    told = [reason.message for reason in decide(frame, len(frame), limits).reasons]
    assert len(told) == 2
    for message in told:
        assert ("sampling: sequential" in message) is (sampling == "fixed")
        assert ("judge more" in message) is (sampling == "sequential")


def test_the_attempts_of_an_attack_are_set_beforehand_so_no_more_are_asked_for():
    evidence = table([*rows("panda", "target", 96, 0, 96), *rows("panda", "target", 16, 1, 16, "relearn"), *FOX])
    (reason,) = decide(evidence, len(evidence), LIMITS).reasons
    assert reason.code == "attack-unproven"
    assert "judge more" not in reason.message
    assert "sequential" not in reason.message
