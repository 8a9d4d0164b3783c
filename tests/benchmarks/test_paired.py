"""The word "first" stands only where a corrected paired test over enough draws supports it."""

from __future__ import annotations

import pytest

from benchmarks import paired
from benchmarks.paired import DRAWS, Comparison, compared, page

CASES = ("1 object", "5 objects")
AHEAD = (0.20, 0.22, 0.18, 0.21, 0.19, 0.2, 0.22, 0.19)


def rows(leads: dict[str, tuple[float, ...]], rivals: tuple[str, ...] = paired.PUBLISHED) -> list[dict[str, str]]:
    """Return lines in which the default is ahead of every rival by so much, draw by draw of each case."""
    found = []
    for case, values in leads.items():
        for draw, lead in enumerate(values):
            own = {"case": case, "draw": str(draw)}
            found.append({**own, "arm": paired.DEFAULT, "h_o": "0.9"})
            found += [{**own, "arm": rival, "h_o": str(0.9 - lead)} for rival in rivals]
    return found


def claims(text: str) -> dict[str, str]:
    """Return the last column of the table of published editors by case."""
    lines = [line.strip("| ").split(" | ") for line in text.split("\n\n")[1].splitlines()[2:]]
    return {line[0]: line[-1] for line in lines}


def test_a_clear_lead_in_every_draw_is_first_and_an_unsteady_one_is_not_shown():
    unsteady = (0.3, -0.1, 0.25, -0.05, 0.2, 0.02, -0.2, 0.3)
    assert claims(page(rows({CASES[0]: AHEAD, CASES[1]: unsteady}))) == {CASES[0]: "first", CASES[1]: "not shown"}


@pytest.mark.parametrize("count", [1, DRAWS - 1])
def test_too_few_draws_show_nothing_however_large_the_lead(count: int):
    assert claims(page(rows({CASES[0]: AHEAD[:count]}))) == {CASES[0]: "not shown"}


def test_one_rival_that_was_hardly_measured_leaves_it_open():
    most = rows({CASES[0]: AHEAD}, paired.PUBLISHED[1:])
    last = [row for row in rows({CASES[0]: AHEAD[:2]}, paired.PUBLISHED[:1]) if row["arm"] != paired.DEFAULT]
    assert claims(page([*most, *last])) == {CASES[0]: "not shown"}


def test_a_refused_draw_is_not_paired_and_no_value_is_no_evidence():
    found = rows({CASES[0]: AHEAD})
    refused = next(row for row in found if row["arm"] == "uce")
    refused["h_o"] = ""
    assert len(compared(found, CASES[0], "uce").leads) == len(AHEAD) - 1
    assert Comparison(CASES[0], "uce", (0.0,) * DRAWS).p == 1.0


def test_p_values_are_corrected_for_all_comparisons():
    barely = (0.1, 0.02, 0.12, 0.01, 0.09)
    assert Comparison(CASES[0], "uce", barely).p < paired.ALPHA
    assert claims(page(rows({CASES[0]: barely}))) == {CASES[0]: "not shown"}
