"""The lines of `benchmarks/compare.py` as tables and a plot for `docs/benchmarks.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common import measure
from benchmarks.common.concepts import cases
from benchmarks.common.page import DOCS, put, table
from benchmarks.common.results import FOLDER

Row = dict[str, str]
PLOT = "benchmarks.png"
TUNED, TOLD = ", tuned", ", tuned and told"
SHARES = {
    "target": "target",
    "synonym": "synonym",
    "look_alike": "look-alikes",
    "other": "others",
    "style": "styles",
    "h_o": "H_o",
}
HEADER = ("editor", *SHARES.values(), "distance", "change", "seconds")
PLOTTED = {"h_o": "H_o", "target": "targets seen", "other": "other objects kept"}
OBJECT_CASES = ("1 object", "5 objects", "10 objects", "20 objects", "50 objects", "100 objects")


def write(rows: Sequence[Row]) -> None:
    """Both parts of the page, and its plot. ValueError if nothing was measured."""
    if not rows:
        raise ValueError(f"nothing was measured on this model; run benchmarks.compare first ({FOLDER})")
    rows = latest(rows)
    plot(rows)
    sections = [_section(case, rows) for case in order(rows)]
    put("compare", "\n\n".join([extent(rows), overview(rows), f"![H_o and what is kept]({PLOT})", *sections]))


def latest(rows: Sequence[Row]) -> list[Row]:
    """Return the last line of each editor, case and draw.

    An earlier one is by other settings, such as former defaults, and out of date.
    """
    return list({(row["arm"], row["case"], row["draw"]): row for row in rows}.values())


def extent(rows: Sequence[Row]) -> str:
    """Return how much was measured."""
    draws = {case: len({row["draw"] for row in rows if row["case"] == case}) for case in order(rows)}
    caption = ", ".join(f"{case}: {count} {'draw' if count == 1 else 'draws'}" for case, count in draws.items())
    pictures = " and ".join(sorted({row["pictures"] for row in rows}))
    return (
        f"{pictures} pictures a group and draw, or what there is to ask for; how many is told above each table. "
        f"{caption}. An editor or a case that is not in a table was not run."
    )


def order(rows: Sequence[Row]) -> list[str]:
    """Return the cases that were measured, in the order in which they are drawn, others last."""
    measured = dict.fromkeys(row["case"] for row in rows)
    known = dict.fromkeys(case.name for case in cases(1))
    return [*(name for name in known if name in measured), *(name for name in measured if name not in known)]


def arms(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["arm"] for row in rows))


def over_draws(rows: Sequence[Row], column: str, shown: Callable[[float], str]) -> str:
    """Return the mean over draws, and from the least to the most in brackets; "-" of nothing."""
    values = [float(row[column]) for row in rows if row[column]]
    if not values:
        return "-"
    mean = shown(fmean(values))
    return mean if len(values) == 1 else f"{mean} [{shown(min(values))}, {shown(max(values))}]"


def overview(rows: Sequence[Row]) -> str:
    """H_o of every editor in every case."""
    names = order(rows)
    lines = [
        [arm, *(over_draws(own := _of(rows, arm, case), "h_o", _percent) + few(own, rows) for case in names)]
        for arm in arms(rows)
    ]
    caption = "H_o in per cent, mean over draws [least, most]; in parentheses how many, where other editors have more:"
    return f"{caption}\n\n" + table(["editor", *names], lines)


def few(own: Sequence[Row], rows: Sequence[Row]) -> str:
    """Return how many draws of a case an editor's lines are of, where there are more among `rows`."""
    draws = {row["draw"] for row in own}
    most = {row["draw"] for row in rows if own and row["case"] == own[0]["case"]}
    return f" ({len(draws)})" if draws < most else ""


def beside(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return H_o of some editors, as the mean over those draws of a case in which all of them were measured.

    It is "-" of an editor that refused, and of a case without such a draw.
    """
    chosen = [row for row in latest(rows) if row["arm"] in names]
    shared = {
        case: set.intersection(*({row["draw"] for row in _of(chosen, name, case)} for name in names))
        for case in order(chosen)
    }
    lines = []
    for case, draws in shared.items():
        own = [[row for row in _of(chosen, name, case) if row["draw"] in draws] for name in names]
        means = [_percent(fmean(float(row["h_o"]) for row in part)) if _answered(part) else "-" for part in own]
        lines.append([case, str(len(draws)), *means])
    return table(["case", "draws", *names], lines)


def _answered(rows: Sequence[Row]) -> bool:
    return bool(rows) and all(row["h_o"] for row in rows)


def _section(case: str, rows: Sequence[Row]) -> str:
    own = [row for row in rows if row["case"] == case]
    lines = [line(arm + few(mine := _of(own, arm, case), own), mine) for arm in arms(own)]
    refused = dict.fromkeys(f"{row['arm']}, draw {row['draw']}: {row['problem']}" for row in own if row["problem"])
    return "\n\n".join([f"### {case}", *asked(case, own), table(HEADER, lines), *(f"- {reason}" for reason in refused)])


def asked(case: str, rows: Sequence[Row]) -> list[str]:
    """Say how many pictures of how many concepts each group has in the draws that were measured.

    Nothing is said of a case that is not drawn by seed.
    """
    draws, pictures = {int(row["draw"]) for row in rows}, int(rows[0]["pictures"])
    drawn = [one for one in cases(max(draws) + 1) if one.name == case and one.draw in draws]
    if not drawn:
        return []
    asked_for = [measure.asked(one, pictures) for one in drawn]
    counts = [Counter(item.group for item in items) for items in asked_for]
    concepts = [Counter(group for group, _ in {(x.group, x.question.subject.id) for x in items}) for items in asked_for]
    caption = (f"{SHARES[group]} {_span(counts, group)} of {_span(concepts, group)}" for group in measure.GROUPS)
    return [f"Pictures a draw, of so many concepts: {', '.join(caption)}."]


def _span(counts: Sequence[Counter[str]], group: str) -> str:
    """Return the least and the most, once where they are the same."""
    own = [count[group] for count in counts]
    return " to ".join(map(str, sorted({min(own), max(own)})))


def line(arm: str, rows: Sequence[Row]) -> list[str]:
    """One row of a table under `HEADER`."""
    shares = [over_draws(rows, column, _percent) for column in SHARES]
    rest = [("distance", "{:.3f}"), ("change", "{:.2f}"), ("seconds", "{:.1f}")]
    return [arm, *shares, *(over_draws(rows, column, form.format) for column, form in rest)]


def plot(rows: Sequence[Row]) -> None:
    """H_o, targets seen and other objects kept against the number of objects; bars from the least to the most.

    An editor has its own colour, and is dotted where it was tuned; what is named by settings is in the tables alone.
    """
    rows = [row for row in rows if "," not in _editor(row["arm"])]
    figure = Figure(figsize=(13, 4))
    shades = (colormaps["tab20"](place) for place in (*range(0, 20, 2), *range(1, 20, 2)))
    colours = dict(zip(dict.fromkeys(map(_editor, arms(rows))), shades, strict=False))
    counts = [case.split()[0] for case in OBJECT_CASES]
    for axis, (column, title) in zip(figure.subplots(1, len(PLOTTED), sharex=True), PLOTTED.items(), strict=True):
        for arm in arms(rows):
            line = {"color": colours[_editor(arm)], "linestyle": "-" if arm == _editor(arm) else ":"}
            _curve(axis, arm, rows, column, line)
        axis.set(title=title, xscale="log", xlabel="objects erased", ylim=(-2, 102))
        axis.set_xticks([int(count) for count in counts], counts)
        axis.minorticks_off()
    figure.axes[0].set_ylabel("per cent")
    figure.axes[-1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(DOCS / PLOT, dpi=110, bbox_inches="tight", metadata={"Software": None})


def _curve(axis: Axes, arm: str, rows: Sequence[Row], column: str, line: Mapping[str, Any]) -> None:
    places, means, below, above = [], [], [], []
    for case in OBJECT_CASES:
        values = [100 * float(row[column]) for row in _of(rows, arm, case) if row[column]]
        if values:
            places.append(int(case.split()[0]))
            means.append(fmean(values))
            below.append(means[-1] - min(values))
            above.append(max(values) - means[-1])
    if places:
        axis.errorbar(places, means, [below, above], label=arm, marker="o", capsize=3, **line)


def _editor(arm: str) -> str:
    return arm.removesuffix(TOLD).removesuffix(TUNED)


def _of(rows: Sequence[Row], arm: str, case: str) -> list[Row]:
    return [row for row in rows if row["arm"] == arm and row["case"] == case]


def share(part: int, whole: int) -> str:
    """Return how many of how many in per cent; "-" of none."""
    return _percent(part / whole) if whole else "-"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
