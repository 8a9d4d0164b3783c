"""A concept that only the parts around the denoiser hide is seen: of each pair the worse picture counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import ARMS, DENOISER, Row, check, table, where
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.pairing import pairs_of
from expunge.engine.stats.verdict import Outcome, Verdict
from tests.engine.stats.rows import picture, rows

LIMITS = Acceptance(max_target_rate=0.1, max_retain_drop=0.1, min_control_rate=0.75, confidence=0.95)
N = 60


def alone(of: list[Row], seen: int) -> list[Row]:
    """What the edited denoiser draws in the base's pipeline: the first `seen` of the pairs show the concept."""
    after = [row for row in of if row.arm == ARMS[1]]
    return [
        replace(row, arm=DENOISER, seen=place < seen, picture=picture(row.seed, DENOISER))
        for place, row in enumerate(after)
    ]


def evidence(target: int, kept: int) -> list[Row]:
    """A model whose own text encoder says nothing of a panda; its denoiser draws one in `target` pairs of N with the
    base's, and keeps a fox in `kept`."""
    panda, fox = rows("panda", "target", N, 0, N), rows("fox", "look_alike", N, N, N)
    return [*panda, *fox, *alone(panda, target), *alone(fox, kept)]


def verdict(*of: Row, attacks: tuple[str, ...] = ()) -> Verdict:
    return decide(table(of), len(of), replace(LIMITS, attacks=attacks))


def test_an_untouched_denoiser_behind_a_swapped_embedding_table_fails() -> None:
    found = verdict(*evidence(target=N, kept=N))
    assert found.outcome == Outcome.FAIL
    assert {reason.code for reason in found.reasons} >= {"denoiser-shows", "target-seen"}
    (shows,) = (reason for reason in found.reasons if reason.code == "denoiser-shows")
    assert f"in 0 of {N} pictures of the model as supplied, and in {N} of {N} of its denoiser" in shows.message
    (panda,) = found.targets
    assert (panda.total.seen, panda.total.n) == (N, N)


def test_an_attack_that_only_the_bases_encoders_make_succeed_fails_too() -> None:
    panda = rows("panda", "target", N, 0, N, probe="relearn")
    found = verdict(*evidence(target=0, kept=N), *panda, *alone(panda, N), attacks=("relearn",))
    shown = {(reason.code, reason.probe) for reason in found.reasons}
    assert shown == {("denoiser-shows", "relearn"), ("attack-seen", "relearn")}


def test_what_the_edited_denoiser_lost_of_a_kept_concept_is_lost() -> None:
    found = verdict(*evidence(target=0, kept=0))
    assert {reason.code for reason in found.reasons} == {"group-drop", "concept-collapse"}


def test_a_model_that_forgot_by_its_denoiser_passes_and_is_counted_once_a_pair() -> None:
    both, supplied = evidence(target=0, kept=N), [row for row in evidence(0, N) if row.arm != DENOISER]
    assert verdict(*both).outcome == Outcome.PASS
    assert verdict(*both).targets == verdict(*supplied).targets
    assert verdict(*both).groups == verdict(*supplied).groups


def test_of_a_pair_the_row_counts_that_speaks_most_against_the_edit() -> None:
    panda = [replace(row, score=0.2) for row in rows("panda", "target", 4, 0, 4)]
    fox = [replace(row, score=0.2) for row in rows("fox", "look_alike", 4, 4, 4)]
    closer = [replace(row, score=0.4) for row in (*alone(panda, 0), *alone(fox, 4))]
    pairs = pairs_of(table([*panda, *fox, *closer]), "score", "picture")
    assert set(where(pairs, pairs["role"] == "target")["score_after"]) == {0.4}
    assert set(where(pairs, pairs["role"] != "target")["score_after"]) == {0.2}
    assert len(pairs) == 8


@pytest.mark.parametrize("lacking", [ARMS[0], ARMS[1], DENOISER])
def test_a_pair_without_one_of_the_three_arms_is_an_error_and_no_pass(lacking: str) -> None:
    whole = evidence(target=0, kept=N)
    (gap,) = (row for row in whole if (row.concept, row.seed, row.arm) == ("panda", 3, lacking))
    left = [row for row in whole if row != gap]
    assert any("lack an arm" in problem for problem in check(table(left), len(left)))
    assert verdict(*left).outcome == Outcome.ERROR


def test_evidence_without_the_third_arm_has_too_few_rows_where_three_were_planned() -> None:
    left = [row for row in evidence(target=N, kept=N) if row.arm != DENOISER]
    assert decide(table(left), len(evidence(N, N)), LIMITS).outcome == Outcome.ERROR
