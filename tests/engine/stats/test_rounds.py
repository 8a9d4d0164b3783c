"""Round by round: the loop stops where it should, and whoever replays it finds rows that nobody asked for."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from expunge.engine.models.sampling import Shot
from expunge.engine.probes import Question, Subject
from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import Row, table, where
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.sampling_plan import asked, breaches, next_round, plan_of
from expunge.engine.stats.verdict import Outcome

LIMITS = Acceptance(0.10, 0.05, 0.8, 0.95, sampling="sequential")
FIXED = Acceptance(0.10, 0.05, 0.8, 0.95)


PANDA, BEAR, FOX, WOLF = (
    Subject("panda", "target", "object", "panda"),
    Subject("bear", "target", "object", "bear"),
    Subject("fox", "look_alike", "object", "fox"),
    Subject("wolf", "look_alike", "object", "wolf"),
)
QUESTIONS = [
    Question(subject, probe, Shot(f"{probe} {subject.id}", 100 + number))
    for subject in (PANDA, BEAR, FOX, WOLF)
    for probe in ("name", "variant", "prefix", "policy")
    for number in range(40)
]
NONE = table([])


def rows(due: pd.DataFrame, after: dict[str, float]) -> list[Row]:
    """Both arms; after the edit a concept is seen with its chance, by draws that depend on the question alone."""
    asked_now: Any = due.itertuples()
    return [
        Row(
            concept=q.concept,
            role=q.role,
            category=q.category,
            probe=q.probe,
            prompt=q.prompt,
            seed=int(q.seed),
            arm=arm,
            seen=arm == "before" or seen(q, after),
            score=1.0,
            picture="ab" * 32,
        )
        for q in asked_now
        for arm in ("before", "after")
    ]


def seen(question, after: dict[str, float]) -> bool:
    key = [int(question.seed), *f"{question.concept} {question.probe}".encode()]
    return bool(np.random.default_rng(key).random() < after[question.concept])


def gathered(after: dict[str, float], limits: Acceptance = LIMITS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(plan, evidence) of the whole loop."""
    plan, found = plan_of(QUESTIONS, limits, 4), []
    while len(due := next_round(plan, table(found), limits)):
        found += rows(due, after)
    return plan, table(found)


GONE = {"panda": 0.0, "bear": 0.0, "fox": 1.0, "wolf": 1.0}


def counts(evidence: pd.DataFrame) -> dict[str, int]:
    """Pairs of each concept."""
    return {name: count // 2 for name, count in Counter(evidence["concept"]).items()}


def test_fixed_sampling_is_one_round_with_everything():
    plan, evidence = gathered(GONE, FIXED)
    assert len(next_round(plan, NONE, FIXED)) == len(plan) == len(QUESTIONS)
    assert counts(evidence) == dict.fromkeys(GONE, 160)


def test_clear_cases_stop_early_and_pass():
    plan, evidence = gathered(GONE)
    assert counts(evidence) == dict.fromkeys(GONE, 48)  # 36 pictures and 74 pairs are enough, in whole rounds
    assert decide(evidence, 2 * len(asked(plan, evidence, LIMITS)), LIMITS).outcome == Outcome.PASS
    assert list(breaches(plan, evidence, LIMITS)) == []


def test_only_what_is_open_goes_on_and_what_must_stay_goes_on_as_a_group():
    _, evidence = gathered({"panda": 0.09, "bear": 0.9, "fox": 1.0, "wolf": 0.955})
    found = counts(evidence)
    assert found["panda"] == 160  # too close to its limit
    assert found["bear"] == 16  # a clear failure, after one round
    assert found["fox"] == found["wolf"] > 48
    assert set(evidence.groupby(["concept", "prompt"]).size() % 8) == {0}  # whole rounds: 4 seeds, 2 arms


def test_a_concept_behind_its_own_family_limit_goes_on():
    limited = Acceptance(0.10, 0.05, 0.8, 0.95, sampling="sequential", probe_limits={"variant": 0.10})
    plan, found = plan_of(QUESTIONS, limited, 4), []
    while len(due := next_round(plan, table(found), limited)):
        found += rows(due, GONE)
    assert counts(table(found))["panda"] == 144  # 36 in the family alone


def test_a_target_goes_on_while_the_unedited_model_shows_it_too_seldom_for_its_control():
    """Seen in three of four to begin with, where 0.8 are needed: what is gone is proven to be gone after ten rounds,
    and nothing is proven by that; later rounds show it often enough."""

    def unedited(question: Any) -> bool:
        return question.concept != "panda" or question.seed >= 120 or question.seed % 4 != 0

    plan, found = plan_of(QUESTIONS, LIMITS, 4), []
    while len(due := next_round(plan, table(found), LIMITS)):
        now: Any = due.itertuples()
        places = {(q.concept, q.prompt, q.seed): unedited(q) for q in now}
        found += [
            replace(row, seen=places[row.concept, row.prompt, row.seed]) if row.arm == "before" else row
            for row in rows(due, GONE)
        ]
    evidence = table(found)
    assert counts(evidence)["panda"] > 48 == counts(evidence)["bear"]
    assert decide(evidence, 2 * len(asked(plan, evidence, LIMITS)), LIMITS).outcome == Outcome.PASS


def test_a_killed_round_is_completed_before_the_next():
    plan = plan_of(QUESTIONS, LIMITS, 4)
    first = next_round(plan, NONE, LIMITS)
    half = table(rows(first.head(5), GONE))
    assert list(next_round(plan, half, LIMITS).index) == list(first.index[5:])


def test_the_same_evidence_gives_the_same_schedule_in_any_order():
    plan, evidence = gathered(GONE)
    part = where(evidence, evidence["seed"] < 104)
    due = next_round(plan, part, LIMITS)
    pd.testing.assert_frame_equal(next_round(plan, part.sample(frac=1, random_state=1), LIMITS), due)
    pd.testing.assert_frame_equal(next_round(plan.sample(frac=1, random_state=2), part, LIMITS), due)


def test_stopping_before_the_rule_says_so_is_found():
    plan, evidence = gathered({**GONE, "panda": 0.05})
    last = where(evidence, evidence["concept"] == "panda")["seed"].max()
    cut = where(evidence, ~((evidence["concept"] == "panda") & (evidence["seed"] >= last - 3)))
    assert "16 pictures that the plan asks for are missing" in " ".join(breaches(plan, cut, LIMITS))


def test_going_on_after_the_rule_said_stop_is_found():
    plan, evidence = gathered({**GONE, "bear": 0.9})
    more = where(plan, (plan["concept"] == "bear") & (plan["round"] == 1))
    further = table([*rows(asked(plan, evidence, LIMITS), {**GONE, "bear": 0.9}), *rows(more, GONE)])
    assert "32 rows were never asked for" in " ".join(breaches(plan, further, LIMITS))


def test_other_seeds_than_those_planned_are_found():
    plan, evidence = gathered(GONE)
    told = list(breaches(plan, evidence.assign(seed=evidence["seed"] + 1000), LIMITS))
    assert len(told) == 2


def test_attacks_are_no_part_of_the_schedule():
    plan, evidence = gathered(GONE)
    attack = rows(where(plan, (plan["concept"] == "panda") & (plan["probe"] == "name")).assign(probe="relearn"), GONE)
    both = pd.concat([evidence, table(attack)], ignore_index=True)
    assert list(breaches(plan, both, LIMITS)) == []
    assert len(next_round(plan, both, LIMITS)) == 0


def test_a_round_without_seeds_is_refused():
    with pytest.raises(ValueError, match="round_seeds is 0"):
        plan_of(QUESTIONS, LIMITS, 0)
