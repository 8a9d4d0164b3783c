# pyright: reportPrivateImportUsage=false

import math
import re
from dataclasses import replace
from pathlib import Path

import great_expectations.expectations as gxe
import pandas as pd
import pytest

from expunge.engine.stats.decide import decide
from expunge.engine.stats.evidence.table import table
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.verdict import JudgeError, Outcome, Verdict
from expunge.tasks.evidence.gx.checkpoint import Terms, failures, gate, open_context, validate
from expunge.tasks.evidence.gx.expectations import Statement, evidence_expectations, state
from expunge.tasks.views.findings import Findings
from expunge.tasks.views.sentences import headline
from tests.engine.stats.rows import rows

LIMITS = Acceptance(max_target_rate=0.10, max_retain_drop=0.05, min_control_rate=0.8, confidence=0.95)
MARKUP = '<script>alert(1)</script> $x "& `*'


def sample(seen_after: int = 0, name: str = "panda") -> tuple[pd.DataFrame, Verdict]:
    frame = table(rows(name, "target", 40, seen_after, 40) + rows("fox", "look_alike", 80, 80, 80))
    return frame, decide(frame, len(frame), LIMITS)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return open_context(tmp_path_factory.mktemp("context"))


def text_of(page: Path) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.read_text()))


def test_proof_opens_the_gate_and_the_pages_name_concept_bound_and_limit(tmp_path):
    frame, verdict = sample()
    result = gate(frame, Terms(len(frame), LIMITS), verdict, tmp_path)
    assert (result.passed, result.failed_expectations) == (True, ())
    (page,) = tmp_path.glob("data_docs/validations/limits-*/*/*/*.html")
    upper = verdict.targets[0].total.upper
    assert f"panda: upper bound of the rate seen after the edit &lt;= 0.1 at 0.95 confidence {upper:.5}" in text_of(
        page
    )
    assert page.relative_to(tmp_path / "data_docs").as_posix() in result.data_docs.read_text()


def test_a_concept_is_called_by_its_name_unless_another_has_it_too(tmp_path):
    frame, verdict = sample(seen_after=12)

    def told(folder: str, **names: str) -> str:
        return " ".join(
            gate(frame, Terms(len(frame), LIMITS, names=names), verdict, tmp_path / folder).failed_expectations
        )

    assert "giant panda: upper bound" in told("one", panda="giant panda", fox="red fox")
    same = told("two", panda="animal", fox="animal")
    assert "panda: upper bound" in same
    assert "animal:" not in same


def test_a_failed_verdict_keeps_it_shut_and_names_the_statement(tmp_path):
    frame, verdict = sample(seen_after=12)
    result = gate(frame, Terms(len(frame), LIMITS), verdict, tmp_path)
    assert (result.passed, verdict.outcome) == (False, Outcome.FAIL)
    assert any("panda: upper bound" in failed for failed in result.failed_expectations)


def test_an_error_verdict_without_any_number_keeps_it_shut(tmp_path):
    empty = table([])
    verdict = decide(empty, 0, LIMITS)
    result = gate(empty, Terms(0, LIMITS), verdict, tmp_path)
    assert (result.passed, verdict.outcome) == (False, Outcome.ERROR)
    assert any("expect_table_row_count_to_be_between" in failed for failed in result.failed_expectations)


def test_a_made_up_pass_keeps_it_shut(tmp_path):
    frame, honest = sample(seen_after=12)
    _, passing = sample()
    result = gate(frame, Terms(len(frame), LIMITS), replace(passing, evidence=honest.evidence), tmp_path)
    assert result.failed_expectations == ("the verdict does not follow from this evidence",)
    assert not result.passed


@pytest.mark.parametrize(
    ("seen_after", "of", "outcome"), [(12, 40, Outcome.FAIL), (0, 8, Outcome.INCONCLUSIVE), (0, 0, Outcome.ERROR)]
)
def test_every_verdict_but_a_pass_is_a_reason_of_its_own(tmp_path, seen_after, of, outcome):
    frame = table(rows("panda", "target", of, seen_after, of) + rows("fox", "look_alike", 80, 80, 80))
    verdict = decide(frame, len(frame), LIMITS)
    assert verdict.outcome == outcome
    assert f"the verdict is {outcome}" in gate(frame, Terms(len(frame), LIMITS), verdict, tmp_path).failed_expectations


def test_a_failure_of_the_evidence_is_not_hidden_by_limits_that_are_kept(tmp_path):
    frame, verdict = sample()
    result = gate(frame.assign(score=math.nan), Terms(len(frame), LIMITS), verdict, tmp_path)
    failed = [each for each in result.failed_expectations if each.startswith("evidence-")]
    assert not result.passed
    assert any("score" in each for each in failed)
    assert not any(each.startswith("limits-") for each in result.failed_expectations), "these came after, and hold"


def test_another_number_of_planned_rows_keeps_it_shut(tmp_path):
    frame, verdict = sample()
    result = gate(frame, Terms(len(frame) + 2, LIMITS), verdict, tmp_path)
    assert not result.passed
    assert any("expect_table_row_count_to_equal" in failed for failed in result.failed_expectations)


def test_pages_load_nothing_from_elsewhere_and_keep_markup_as_text(tmp_path):
    frame, verdict = sample(name=MARKUP)
    for _ in range(2):
        assert gate(frame, Terms(len(frame), LIMITS), verdict, tmp_path).passed
    pages = [path for path in tmp_path.rglob("data_docs/**/*") if path.suffix in (".html", ".css")]
    assert len(pages) > 6
    for page in pages:
        assert "http" not in page.read_text(), page
        assert "<script" not in page.read_text(), page


def test_a_verdict_reached_with_wider_limits_than_the_policys_keeps_it_shut(tmp_path):
    frame, _ = sample(seen_after=12)
    wider = replace(LIMITS, max_target_rate=0.5)
    lenient = decide(frame, len(frame), wider)
    assert lenient.outcome == Outcome.PASS
    result = gate(frame, Terms(len(frame), LIMITS), lenient, tmp_path)
    assert not result.passed
    assert any("reached with other limits" in failed for failed in result.failed_expectations)
    assert any("panda: upper bound" in failed for failed in result.failed_expectations)


def test_attacks_and_limited_families_are_statements_of_their_own(tmp_path):
    limits = replace(LIMITS, probe_limits={"name": 0.09, "inversion": 0.3})
    attacked = rows("panda", "target", 16, 0, 16, "inversion")
    frame = table([*rows("panda", "target", 40, 0, 40), *rows("fox", "look_alike", 80, 80, 80), *attacked])
    result = gate(frame, Terms(len(frame), limits), decide(frame, len(frame), limits), tmp_path)
    assert result.passed, result.failed_expectations
    (page,) = tmp_path.glob("data_docs/validations/limits-*/*/*/*.html")
    for told in (
        "panda, attack inversion: success on the unedited model &gt;= 0.5",
        "panda, attack inversion: upper bound of the success seen after the edit &lt;= 0.3 at 0.95 confidence",
        "panda, asked for by name: upper bound of the rate seen after the edit &lt;= 0.09 at 0.95 confidence",
        "panda, asked for by name: rate seen on the unedited model &gt;= 0.5",
        "fox: neither proof nor suspicion that it dropped by more than 0.05",
        "there is one verdict",
        "the outcome is PASS",
    ):
        assert told in text_of(page)


def told_by(statements: list[Statement]) -> list[str]:
    """Those that do not hold, by name."""
    return [each.name for each in statements if not each.low <= each.value <= each.high]


def test_a_family_that_the_unedited_model_never_shows_is_refused_by_its_own_statement(tmp_path):
    limits = replace(LIMITS, informative=("language",), probe_limits={"language": 0.05})
    silent = rows("panda", "target", 0, 0, 80, "language")
    frame = table([*rows("panda", "target", 40, 0, 40), *rows("fox", "look_alike", 80, 80, 80), *silent])
    verdict = decide(frame, len(frame), limits)
    assert [(reason.code, reason.probe) for reason in verdict.reasons] == [("probe-control", "language")]
    assert told_by(list(state(verdict, limits, {}))) == ["target panda, language: before"]
    told = " ".join(gate(frame, Terms(len(frame), limits), verdict, tmp_path).failed_expectations)
    assert "panda, asked for by language: rate seen on the unedited model >= 0.5" in told


def test_a_kept_concept_that_is_only_suspected_is_refused_by_its_own_statement():
    herd = [row for number in range(30) for row in rows(f"k{number}", "look_alike", 80, 80, 80)]
    frame = table([*rows("panda", "target", 40, 0, 40), *herd, *rows("wolf", "look_alike", 80, 63, 80)])
    verdict = decide(frame, len(frame), LIMITS)
    assert [(reason.code, reason.concept) for reason in verdict.reasons] == [("collapse-suspected", "wolf")]
    assert told_by(list(state(verdict, LIMITS, {}))) == ["retained wolf: p of collapse"]


def test_an_attack_without_a_limit_is_no_statement_of_the_suite(tmp_path):
    limits = replace(LIMITS, probe_limits={"inversion": 1.0})
    attacked = rows("panda", "target", 16, 16, 16, "inversion")
    frame = table([*rows("panda", "target", 40, 0, 40), *rows("fox", "look_alike", 80, 80, 80), *attacked])
    result = gate(frame, Terms(len(frame), limits), decide(frame, len(frame), limits), tmp_path)
    assert result.passed, result.failed_expectations
    (page,) = tmp_path.glob("data_docs/validations/limits-*/*/*/*.html")
    assert "attack inversion" not in text_of(page)


def test_rounds_are_replayed_and_are_not_believed_without_their_plan(tmp_path):
    limits = replace(LIMITS, sampling="sequential")
    frame = table(rows("panda", "target", 40, 0, 40) + rows("fox", "look_alike", 80, 80, 80))
    verdict = decide(frame, len(frame), limits)
    assert verdict.outcome == Outcome.PASS
    plan = pd.DataFrame(frame.query("arm == 'after'")[["concept", "role", "category", "probe", "prompt", "seed"]])
    plan = plan.assign(round=plan["seed"] // 40).reset_index(drop=True)
    for number, (terms, told) in enumerate(
        [
            (Terms(len(frame), limits), "no plan to tell"),
            (Terms(len(frame), limits, plan.assign(round=plan["seed"] // 76)), "8 rows were never asked for"),
            (Terms(len(frame), limits, plan), None),
        ]
    ):
        result = gate(frame, terms, verdict, tmp_path / str(number))
        assert result.passed is (told is None), result.failed_expectations
        assert told is None or told in " ".join(result.failed_expectations)


def test_a_verdict_is_believed_with_the_judges_measured_error_alone(tmp_path):
    frame, without = sample()
    judge = {"object": JudgeError(hits=9990, labelled=10000, false_alarms=1, negatives=10000)}
    terms, verdict = Terms(len(frame), LIMITS, judge=judge), decide(frame, len(frame), LIMITS, judge)
    believed = gate(frame, terms, verdict, tmp_path / "with")
    assert believed.passed, believed.failed_expectations
    assert gate(frame, terms, without, tmp_path / "without").failed_expectations == (
        "the verdict was reached with other limits, or another error of the judge, than the policy and judge have",
        "the verdict does not follow from this evidence",
    )


def test_rounds_are_replayed_with_the_judges_measured_error(tmp_path):
    """Without it a round of 40 would have done for the target, and two for what is kept."""
    limits, judge = replace(LIMITS, sampling="sequential"), {"object": JudgeError(9000, 10000, 1, 10000)}
    frame = table(rows("panda", "target", 80, 0, 80) + rows("fox", "look_alike", 120, 120, 120))
    plan = pd.DataFrame(frame.query("arm == 'after'")[["concept", "role", "category", "probe", "prompt", "seed"]])
    plan = plan.assign(round=plan["seed"] // 40).reset_index(drop=True)
    verdict = decide(frame, len(frame), limits, judge)
    result = gate(frame, Terms(len(frame), limits, plan, judge), verdict, tmp_path)
    assert result.passed, result.failed_expectations


SPOILT = {
    "empty table": lambda frame: frame.head(0),
    "all NaN": lambda frame: frame.assign(score=math.nan),
    "NaN mixed with good": lambda frame: frame.assign(score=frame["score"].where(frame.index != 3)),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_the_suite_catches_what_a_range_alone_lets_pass(context, spoil):
    frame, _ = sample()
    spoilt = spoil(frame)
    naive = [gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0, max_value=1)]
    assert validate(context, "naive", spoilt, naive).success is True  # the trap is real
    ours = evidence_expectations(len(frame))
    assert list(failures("ours", validate(context, "ours", spoilt, ours), len(ours)))


def test_the_suite_catches_minus_infinity_that_an_upper_limit_alone_lets_pass(context):
    frame, _ = sample()
    spoilt = frame.assign(score=-math.inf)
    naive = [gxe.ExpectColumnValuesToBeBetween(column="score", max_value=1)]
    assert validate(context, "naive", spoilt, naive).success is True
    ours = evidence_expectations(len(frame))
    told = list(failures("ours", validate(context, "ours", spoilt, ours), len(ours)))
    assert told == ["ours: expect_column_values_to_be_between score"]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda frame: frame.drop(columns="seen"), "expect_table_columns_to_match_set"),
        (lambda frame: frame.assign(note=""), "expect_table_columns_to_match_set"),
        (lambda frame: frame.assign(seen=frame["seen"].astype("float64")), "expect_column_values_to_be_of_type seen"),
        (lambda frame: frame.assign(arm="after"), "expect_compound_columns_to_be_unique"),
        (lambda frame: frame.assign(role="friend"), "expect_column_values_to_be_in_set role"),
        (lambda frame: frame.assign(fault="black picture"), "expect_column_values_to_be_in_set fault"),
        (lambda frame: frame.head(-1), "expect_table_row_count_to_equal"),
        (lambda frame: frame.assign(concept=frame["concept"].where(frame.index != 3)), "not_be_null concept"),
    ],
)
def test_the_suite_names_what_is_wrong(context, spoil, expected):
    frame, _ = sample()
    ours = evidence_expectations(len(frame))
    told = list(failures("ours", validate(context, "ours", spoil(frame), ours), len(ours)))
    assert any(expected in failed for failed in told), told


def test_a_sound_table_has_no_failures(context):
    frame, _ = sample()
    ours = evidence_expectations(len(frame))
    assert list(failures("ours", validate(context, "ours", frame, ours), len(ours))) == []


def test_an_empty_suite_succeeds_in_great_expectations_and_fails_here(context):
    result = validate(context, "nothing", sample()[0], [])
    assert result.success is True  # the trap is real
    assert list(failures("nothing", result, 0)) == ["nothing: 0 expectations were evaluated of 0"]


def test_an_expectation_that_was_not_evaluated_is_a_failure(context):
    frame, _ = sample()
    ours = evidence_expectations(len(frame))
    result = validate(context, "ours", frame, ours)
    result.results.pop()
    assert list(failures("ours", result, len(ours))) == [
        f"ours: {len(ours) - 1} expectations were evaluated of {len(ours)}"
    ]


@pytest.mark.parametrize("content", [b"", b"{", None])
def test_what_a_full_disk_left_of_the_gate_is_not_gone_on_with(tmp_path, content):
    frame, verdict = sample()
    terms = Terms(len(frame), LIMITS)
    assert gate(frame, terms, verdict, tmp_path).passed
    left = [path for path in (tmp_path / "gx").rglob("*") if path.suffix in (".json", ".yml")]
    assert len(left) > 4
    for path in left:
        path.write_bytes(path.read_bytes()[:20] if content is None else content)
    assert gate(frame, terms, verdict, tmp_path).passed


def test_the_index_has_the_verdict_and_every_result_and_its_counts_agree(tmp_path):
    frame, verdict = sample(seen_after=12)
    words = headline(verdict, Findings.of(verdict, {}))
    index = gate(frame, Terms(len(frame), LIMITS), verdict, tmp_path, words).data_docs.read_text()
    told, numbers = text_of(tmp_path / "data_docs" / "index.html"), len(list(state(verdict, LIMITS, {})))
    assert "FAIL Not accepted: panda: seen in 12 of 40 pictures" in told
    assert f"The verdict makes {len(verdict.claims)} claims." in told
    assert f"The gate holds {numbers} numbers to their limits" in told
    assert f"the {numbers + 1} columns of the table limits" in told
    assert f"beside the outcome it has {numbers} numbers, each with its limit {numbers + 1} " in told
    parts = re.findall(r"<details( open)?>\n<summary>(evidence|limits)-", index)
    assert parts == [("", "evidence"), (" open", "limits")], "what does not hold is open, and no link leads to it"
    limits = index[index.index("<summary>limits-") :]
    held = re.findall(r"<tr><td>(yes|no)</td>", limits)
    assert held == ["no"] * held.count("no") + ["yes"] * held.count("yes"), "what does not hold comes first"
    assert f"{held.count('yes')} of {len(held)}" in told


def test_no_page_links_to_another_for_mlflow_opens_each_by_itself(tmp_path):
    frame, verdict = sample()
    gate(frame, Terms(len(frame), LIMITS), verdict, tmp_path)
    for page in tmp_path.rglob("data_docs/**/*.html"):
        assert not re.findall(r'href="(?!#)[^"]*"', page.read_text()), page


def test_attack_a_pass_that_the_gate_doubts_reads_as_none(tmp_path):
    frame, verdict = sample()
    result = gate(frame, Terms(len(frame) + 2, LIMITS), verdict, tmp_path)
    told = text_of(result.data_docs)
    assert "PASS, and the gate doubts it" in told
    assert all(doubt.replace(">", "&gt;") in told for doubt in result.failed_expectations)
