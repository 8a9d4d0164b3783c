"""A verdict in words: right for each outcome, never more than was proven, and nothing that frightens under a PASS."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from expunge.engine.stats.evidence.table import Row
from expunge.engine.stats.verdict import Verdict
from expunge.flows.cli import show
from expunge.tasks.evidence.examination import examination
from expunge.tasks.ledger.case import open_case
from expunge.tasks.ledger.policy_store import keep_policy
from expunge.tasks.report import render_card, render_report
from expunge.tasks.views.assurances import WORDS_OR_WEIGHTS
from expunge.tasks.views.findings import Findings
from expunge.tasks.views.outcome import examined
from expunge.tasks.views.sentences import at_most, bars, headline
from tests.tasks.evidence.examined import Seen, new_order, verified


def good(row: Row) -> bool:
    return row.arm == "before" or row.role != "target"


def found(folder: Path, saw: Seen) -> tuple[Verdict, Findings]:
    order = new_order(folder, "quick")
    verdict = Verdict.load(verified(order, saw)[0].path)
    return verdict, Findings.of(verdict, examination(order).names)


def test_attack_a_pass_of_which_no_claim_stands_alone_reads_as_no_failure(tmp_path: Path) -> None:
    order = new_order(tmp_path, "quick")
    reached = Verdict.load(verified(order, good)[0].path)
    verdict = replace(reached, claims=tuple(replace(claim, holm=1.0) for claim in reached.claims))
    case = open_case(order)
    page, card = render_report(case, verdict, {}).read_text(encoding="utf-8"), render_card(case, verdict).decode()
    assert (verdict.outcome, verdict.proven) == ("PASS", ())
    assert "by itself" not in card
    assert not re.search(r"<td[^>]*>\s*no\b", page)
    assert f"0 of {len(verdict.claims)}" not in page
    assert "p: corrected" not in page[: page.index("Appendix: single claims")]


def test_a_pass_names_the_count_the_bound_and_the_limit(tmp_path: Path) -> None:
    verdict, findings = found(tmp_path, good)
    (row,) = findings.targets
    words = f"bicycle: seen in 0 of {row.rate.n} pictures, at most {at_most(row.rate.upper)}, limit 20 %."
    assert headline(verdict, findings) == f"{words} What had to stay is still there."
    assert {bar.state for bar in bars(findings)} == {"met"}


def test_a_fail_says_first_what_is_still_seen(tmp_path: Path) -> None:
    verdict, findings = found(tmp_path, lambda _: True)
    (row,) = findings.targets
    assert verdict.outcome == "FAIL"
    assert headline(verdict, findings).startswith(
        f"Not accepted: bicycle: seen in {row.rate.n} of {row.rate.n} pictures"
    )
    assert bars(findings)[0].state == "missed"


def test_what_the_unedited_model_never_shows_proves_nothing(tmp_path: Path) -> None:
    verdict, findings = found(tmp_path, lambda row: row.role != "target")
    assert verdict.outcome == "INCONCLUSIVE"
    assert headline(verdict, findings).startswith(
        "Not proven, so not accepted: bicycle: the unedited model shows it in"
    )
    assert bars(findings)[0].state == "open"


@pytest.mark.parametrize(("bound", "words"), [(0.0912, "9.2 %"), (0.1, "10 %"), (0.1001, "10.1 %"), (0.0, "0 %")])
def test_attack_rounding_never_promises_more_than_was_proven(bound: float, words: str) -> None:
    assert at_most(bound) == words


def test_the_page_names_the_request_before_the_verdict(tmp_path: Path) -> None:
    order = new_order(tmp_path, "quick")
    (file,) = tmp_path.glob("*.yaml")
    keep_policy(order.home, order.policy, file.read_bytes())
    verdict = Verdict.load(verified(order, good)[0].path)
    page = render_report(open_case(order), verdict, {}).read_text(encoding="utf-8")
    head = page[page.index("<body>") : page.index('class="verdict')]
    for words in ("trademark notice", "bicycle", "2026-02-03", "without delay", "the built-in emoji model"):
        assert words in head


def test_the_terminal_says_the_same_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = new_order(tmp_path, "quick")
    reached, _ = verified(order, good)
    data = examined(order, reached, "model", "", order.folder)
    show.print_examination(data)
    assert data["headline"] in capsys.readouterr().out


def test_a_cell_of_the_table_says_what_its_bar_says(tmp_path: Path) -> None:
    """A bound alone above its limit is no failure; once the table said "missed" beside a bar that said "perhaps"."""
    order = new_order(tmp_path, "quick")
    verdict = Verdict.load(verified(order, lambda row: good(row) or row.seed == 0)[0].path)
    findings = Findings.of(verdict, examination(order).names)
    assert (verdict.outcome, bars(findings)[0].state) == ("INCONCLUSIVE", "unproven")
    page = render_report(open_case(order), verdict, {}).read_text(encoding="utf-8")
    assert '<td class="unproven">perhaps</td>' in page
    assert ">missed<" not in page


def test_one_sentence_tells_by_words_from_by_weights_wherever_a_grade_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = new_order(tmp_path, "quick")
    reached, _ = verified(order, good)
    verdict = Verdict.load(reached.path)
    case = open_case(order)
    show.print_examination(examined(order, reached, "model", "", order.folder))
    page = " ".join(render_report(case, verdict, {}).read_text(encoding="utf-8").split())
    said = " ".join(capsys.readouterr().out.split())
    assert WORDS_OR_WEIGHTS in said
    assert WORDS_OR_WEIGHTS in page
    assert verdict.assurance in render_card(case, verdict).decode()
