"""Lines that were measured stay measured, and the page takes them in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.common import tables
from benchmarks.common.arms import Arm, ladder, tuned
from benchmarks.common.concepts import tuning_cases
from benchmarks.common.page import put, table
from benchmarks.common.results import Results
from benchmarks.compare import COLUMNS, KEY


def row(arm: str, case: str, draw: int, **values: object) -> dict[str, object]:
    return {"model": "m", "arm": arm, "settings": "{}", "case": case, "draw": draw, "pictures": 8, **values}


def test_what_was_added_is_found_again_by_another_process(tmp_path: Path):
    first = Results(tmp_path / "a" / "r.tsv", COLUMNS, KEY)
    line = row("uce", "1 object", 0, target=0.25, problem="")
    assert line not in first
    first.add(line)
    again = Results(tmp_path / "a" / "r.tsv", COLUMNS, KEY)
    assert line in again
    assert row("uce", "1 object", 1) not in again
    assert again.where(arm="uce", draw=0)[0]["target"] == "0.25"
    again.add({**line, "target": 0.5})
    (kept,) = Results(first.path, COLUMNS, KEY).where()
    assert kept["target"] == "0.5", "the last line of a measurement counts"


def test_settings_that_were_left_and_taken_up_again_are_the_ones_that_are_told(tmp_path: Path):
    found = Results(tmp_path / "r.tsv", COLUMNS, KEY)
    for settings in ("former", "other", "former"):
        found.add({**row("uce", "1 object", 0), "settings": settings})
    for read in (found, Results(found.path, COLUMNS, KEY)):
        (told,) = tables.latest(read.where())
        assert told["settings"] == "former"


def test_a_file_with_other_columns_is_refused(tmp_path: Path):
    Results(tmp_path / "r.tsv", COLUMNS, KEY).add(row("uce", "1 object", 0))
    with pytest.raises(ValueError, match="other columns"):
        Results(tmp_path / "r.tsv", COLUMNS[:-1], KEY)


def test_the_best_tuned_setting_is_the_best_mean_over_tuning_cases(tmp_path: Path):
    trials, cases = Results(tmp_path / "t.tsv", COLUMNS, KEY), tuning_cases()
    arms = ladder("oce")
    with pytest.raises(LookupError, match="was not tried with 8 pictures"):
        tuned("oce", trials, "m", 8)
    for place, arm in enumerate(arms):
        for case in cases:
            score = {1: 0.6, 2: 0.9 if case is cases[0] else 0.5}.get(place, 0.1)
            trials.add({**row(arm.name, case.name, 0, h_o=score), "settings": arm.recorded(case)})
    best = tuned("oce", trials, "m", 8)
    assert best == Arm("oce, tuned", "oce", arms[2].settings)
    with pytest.raises(LookupError, match="was not tried"):
        tuned("oce", trials, "other", 8)


def test_tables_and_plot_are_made_of_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "DOCS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- compare -->\nwhat was there\n<!-- /compare -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(tables, "put", lambda part, text: put(part, text, page))
    measured = {"target": "0.1", "other": "0.9", "h_o": "0.9", "distance": "0.05", "change": "1.5", "seconds": "3"}
    empty = dict.fromkeys(COLUMNS, "")
    rows = [
        {**empty, **{k: str(v) for k, v in row("uce", "1 object", draw).items()}, **measured, "h_o": h_o}
        for draw, h_o in enumerate(("0.8", "0.9", "0.7"))
    ]
    rows.append(
        {**empty, **{k: str(v) for k, v in row("speed", "1 object", 0).items()}, "problem": "no direction free"}
    )
    rows.append({**rows[0], "arm": "rece", "h_o": "0.65"})
    stale = {**rows[0], "settings": "former", "h_o": "0.1"}
    tables.write([stale, *rows])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- compare -->\n")
    assert text.endswith("<!-- /compare -->\nafter\n")
    assert "| uce | 80.0 [70.0, 90.0] |" in text
    assert text.count("| rece (1) | 10.0 |") == 1
    assert "| rece | 65.0 (1) |" in text
    assert "8 pictures a group and draw, or what there is to ask for; how many is told above each table." in text
    assert "1 object: 3 draws." in text
    told = "target 8 of 1, synonym 0 to 4 of 0 to 1, look-alikes 8 of 1 to 4, others 8 of 8, styles 8 of 6."
    assert f"Pictures a draw, of so many concepts: {told}" in text
    assert "- speed, draw 0: no direction free" in text
    assert "what was there" not in text
    assert (tmp_path / tables.PLOT).stat().st_size > 5000
    with pytest.raises(ValueError, match="nothing was measured"):
        tables.write([])


def test_a_page_without_the_place_is_refused(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="put <!-- speed -->"):
        put("speed", "text", page)


def test_a_table_is_markdown():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_editors_are_held_beside_each_other_in_the_draws_that_all_have() -> None:
    shares = {
        ("scapre", "0"): "0.9",
        ("scapre", "1"): "0.5",
        ("uce", "0"): "0.8",
        ("auto", "0"): "",
        ("auto", "1"): "0.7",
    }
    rows = [{"arm": arm, "case": "5 objects", "draw": draw, "h_o": h_o} for (arm, draw), h_o in shares.items()]
    assert tables.beside(rows, ["scapre", "uce"]).splitlines()[-1] == "| 5 objects | 1 | 90.0 | 80.0 |"
    assert tables.beside(rows, ["scapre", "auto"]).splitlines()[-1] == "| 5 objects | 2 | 70.0 | - |"
    assert tables.beside(rows, ["auto", "oce"]).splitlines()[-1] == "| 5 objects | 0 | - | - |"
