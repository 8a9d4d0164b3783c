"""What is measured of erasure from the weights: jobs, what counts of them, and that the figures on record fit them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import hardened
from benchmarks.common.results import Results
from benchmarks.hardening import report
from benchmarks.hardening.jobs import BUDGETS, MADE, NAMES, PLAIN, STRONGEST, Job, in_order
from expunge.engine.probes.attacks import ATTACKS, Inversion
from expunge.engine.probes.attacks.compared import COMPARED


def test_every_attack_is_measured_and_only_searches_for_words_have_budgets() -> None:
    assert set(MADE) == set(ATTACKS) | set(COMPARED)
    made = in_order(NAMES, BUDGETS)
    assert [job.budget for job in made if job.attack in ("inversion", STRONGEST)] == [1, 1, 4, 4, 16, 16]
    assert all(job.budget == 1 for job in made if not job.budgeted)
    assert {job.attack for job in made} == set(NAMES)
    assert made[0] == Job(PLAIN), "cheap ones first"


@pytest.mark.parametrize("budget", BUDGETS)
def test_longer_searches_are_the_named_budgets(budget: int) -> None:
    assert Job("inversion", budget).made() == Inversion.of_budget(f"{budget}x")
    strong = Job(STRONGEST, budget)
    made = strong.made()
    assert isinstance(made, Inversion)
    assert len(made.vectors) * strong.pictures == made.cost
    assert strong.pictures == Job("inversion", budget).pictures == 30


def test_of_several_searches_of_one_attack_the_strongest_counts() -> None:
    assert {name: Job(name).groups for name in NAMES if Job(name).groups > 1} == {STRONGEST: 4, "knows_hardened": 4}
    assert Job("knows_hardened").pictures == 15


def test_an_attack_that_draws_nothing_at_random_is_made_once() -> None:
    assert {name: Job(name).seeds for name in NAMES} == {name: 1 if name == "tina" else 3 for name in NAMES}


def measured(path: Path) -> Results:
    """Two objects and a style, of which not everything was measured."""
    results = Results(path, hardened.COLUMNS, hardened.KEY)
    for editor, case, attack, budget, seen, h_o, minutes in (
        ("never-trained", "monkey", "inversion", 4, 0.1, "", ""),
        ("hardened", "monkey", "inversion", 4, 0.2, 0.9, 8.0),
        ("hardened", "turtle", "inversion", 4, 0.4, 0.8, 10.0),
        ("hardened", "monkey", "plain", 1, 0.0, 0.9, 8.0),
        ("scapre", "monkey", "inversion", 4, 1.0, 0.95, 0.1),
        ("hardened", "flat", "tina", 1, 0.5, 0.7, 9.0),
        ("hardened, push 2.0", "monkey", "inversion", 4, 0.0, 0.1, 1.0),
    ):
        row = {"case": case, "editor": editor, "attack": attack, "budget": budget}
        results.add({**row, "pictures": 30, "seen": seen, "h_o": h_o, "minutes": minutes})
    return results


def test_tables_have_attacks_by_rows_and_editors_by_columns_and_plot_the_shared_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAGE", page := tmp_path / "measured.md")
    page.write_text("before\n<!-- hardened -->\n<!-- /hardened -->\nafter\n", encoding="utf-8")
    report.write(measured(tmp_path / "hardened.tsv"), ["monkey", "turtle"])
    text = page.read_text(encoding="utf-8")
    assert "| attack | scapre | hardened | never-trained |" in text
    assert "| `inversion` 4x | 100.0 [+90.0] (1) | 30.0 [+10.0] | 10.0 (1) |" in text
    assert "| asked by name | - | 0.0 | - |" in text
    assert "| `tina` | 50.0 |" in text
    assert "| H_o | 95.0 | 85.0 | - |" in text
    assert "| minutes | 0.1 | 9.0 | - |" in text
    assert "push 2.0" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert (tmp_path / report.PLOT).stat().st_size > 1000


def test_nothing_measured_is_refused_and_a_plot_of_no_shared_case_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        report.write(Results(tmp_path / "none.tsv", hardened.COLUMNS, hardened.KEY), [])
    rows = list(measured(tmp_path / "hardened.tsv").rows.values())
    apart = [row for row in rows if (row["editor"], row["case"]) != ("hardened", "monkey")]
    assert not report.frontier(apart)
    assert len(report.PLOTTED) == 6


def test_the_plot_has_the_search_that_most_editors_met(tmp_path: Path) -> None:
    results = measured(tmp_path / "hardened.tsv")
    row = {"case": "monkey", "attack": "inversion", "pictures": 30, "seen": 0.2, "h_o": 0.9, "minutes": 8.0}
    assert report.compared(list(results.rows.values())) == Job("inversion", 4)
    results.add({**row, "editor": "hardened", "budget": 16})
    assert report.compared(list(results.rows.values())) == Job("inversion", 4), "one editor compares nothing"
    for editor in ("hardened", "scapre", "esd"):
        results.add({**row, "editor": editor, "budget": 1})
    assert report.compared(list(results.rows.values())) == Job("inversion", 1)


def test_shares_are_ranked_beside_the_never_trained_model() -> None:
    assert "+1.00" in hardened.ranked([(0.1, 0.0), (0.5, 0.2), (0.9, 0.3)])
    assert "-1.00" in hardened.ranked([(0.1, 0.3), (0.5, 0.2), (0.9, 0.0)])
    assert hardened.ranked([(0.0, 0.3), (0.0, 0.2)]) == "", "equal shares have no order"


def test_the_page_has_a_place_for_the_tables() -> None:
    assert "<!-- hardened -->" in report.PAGE.read_text(encoding="utf-8")
    assert set(report.COLUMNS) == set(hardened.EDITORS)


def test_a_setting_is_of_the_editor_that_it_names() -> None:
    given = ["push=2.0", "advunlearn.rate=0.0001", "stereo.searches=1"]
    assert hardened.own_settings("hardened", given) == ["push=2.0"]
    assert hardened.own_settings("advunlearn", given) == ["rate=0.0001"]
    assert hardened.own_settings("scapre", given) == []
