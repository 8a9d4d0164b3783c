"""The lines of `benchmarks/hardened.py` as tables and a plot in `docs/verification/measured.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.page import DOCS, put, table
from benchmarks.common.results import FOLDER, Results
from benchmarks.hardening.jobs import BUDGETS, NAMES, PLAIN, STRONGEST, Job

Row = Mapping[str, str]
NEVER, UNEDITED = "never-trained", "unedited"
COLUMNS = (UNEDITED, "scapre", "esd", "salun", "stereo", "advunlearn", "hardened", NEVER)
PLOTTED = COLUMNS[1:-1]  # six series; the models that are no edit are lines
SEARCH = "inversion"  # the attack of the plot
PAGE, PLOT = DOCS / "verification" / "measured.md", "frontier.png"
AREA = 12.0  # of a mark, in square points for each minute
LEAST = 30.0  # of a mark


def write(results: Results, alone: Iterable[str]) -> None:
    """Write the tables and the plot into the page.

    Args:
        results: what was measured.
        alone: the cases of one object each, which the never-trained model never saw.
    Raises:
        ValueError: nothing was measured.
    """
    rows = [row for row in results.rows.values() if row["editor"] in COLUMNS]
    if not rows:
        raise ValueError(f"nothing was measured; run benchmarks.hardened first ({FOLDER})")
    objects = set(alone)
    groups = {
        "One object": [row for row in rows if row["case"] in objects],
        "Styles and sets": [row for row in rows if row["case"] not in objects],
    }
    parts = [f"#### {title}\n\n{attack_table(own)}" for title, own in groups.items() if own]
    if frontier(rows):
        parts.append(f"![What an attack brings back, H_o and minutes]({PLOT})")
    put("hardened", "\n\n".join([HOW, *parts]), PAGE)


HOW = """The share of pictures in which the judge sees the target, in per cent: the mean over cases. In brackets the
excess over the never-trained model, where that was measured in the same cases. In parentheses the number of cases,
where others have more. `-` was not measured. Minutes are of one core."""


def attack_table(rows: Sequence[Row]) -> str:
    """Return a table of attacks by rows and editors by columns; the last two rows are H_o and minutes."""
    editors = [name for name in COLUMNS if any(row["editor"] == name for row in rows)]
    lines = [
        [_called(job), *(_cell(rows, name, job) for name in editors)]
        for job in _jobs()
        if any(row["attack"] == job.attack and int(row["budget"]) == job.budget for row in rows)
    ]
    lines.append(["H_o", *(_mean(rows, name, "h_o", 100) for name in editors)])
    lines.append(["minutes", *(_mean(rows, name, "minutes", 1) for name in editors)])
    return table(["attack", *editors], lines)


def _jobs() -> list[Job]:
    return [Job(name, budget) for name in NAMES for budget in (BUDGETS if Job(name).budgeted else (1,))]


def _called(job: Job) -> str:
    title = "asked by name" if job.attack == PLAIN else f"`{job.attack}`" if job.attack != STRONGEST else job.attack
    return f"{title} {job.budget}x" if job.budgeted else title


def shares(rows: Sequence[Row], editor: str, job: Job) -> dict[str, float]:
    """Return the share seen by case."""
    wanted = (editor, job.attack, str(job.budget))
    return {row["case"]: float(row["seen"]) for row in rows if (row["editor"], row["attack"], row["budget"]) == wanted}


def _cell(rows: Sequence[Row], editor: str, job: Job) -> str:
    own, floor = shares(rows, editor, job), shares(rows, NEVER, job)
    if not own:
        return "-"
    text = f"{100 * fmean(own.values()):.1f}"
    both = [own[case] - floor[case] for case in own if case in floor]
    if both and editor != NEVER:
        text += f" [{100 * fmean(both):+.1f}]"
    most = max(len(shares(rows, name, job)) for name in COLUMNS)
    return f"{text} ({len(own)})" if len(own) < most else text


def _mean(rows: Sequence[Row], editor: str, column: str, times: float) -> str:
    own = {row["case"]: float(row[column]) for row in rows if row["editor"] == editor and row[column]}
    return f"{times * fmean(own.values()):.1f}" if own else "-"


def frontier(rows: Sequence[Row]) -> bool:
    """Draw what the search brings back against H_o, with minutes as the size of a mark; return whether there is any.

    All marks are means over the same cases: those in which every editor of the plot was measured.
    """
    job = compared(rows)
    found = _measured(rows, job)
    if not (cases := _shared(found)):
        return False
    figure = Figure(figsize=(7, 5))
    axis = figure.subplots()
    for place, (name, own) in enumerate(found.items()):
        _mark(axis, f"C{place}", name, [row for row in rows if row["editor"] == name and row["case"] in cases], own)
    for name, style in ((UNEDITED, ":"), (NEVER, "--")):
        if known := [share for case, share in shares(rows, name, job).items() if case in cases]:
            axis.axhline(100 * fmean(known), color="grey", linestyle=style, label=name)
    axis.set(
        title=f"{job.attack} {job.budget}x, mean over {len(cases)} cases; a mark is as large as its minutes",
        xlabel="H_o, per cent",
        ylabel="target seen after the attack, per cent",
        ylim=(-3, 103),
    )
    axis.margins(x=0.3)
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(PAGE.parent / PLOT, dpi=110, bbox_inches="tight", metadata={"Software": None})
    return True


def _mark(axis: Axes, colour: str, name: str, rows: Sequence[Row], own: Mapping[str, float]) -> None:
    """Draw one editor's mark, with its minutes beside it."""
    cases = {row["case"]: row for row in rows if row["h_o"]}
    if not cases:
        return
    x = 100 * fmean(float(row["h_o"]) for row in cases.values())
    y = 100 * fmean(own[case] for case in cases)
    minutes = fmean(float(row["minutes"] or 0) for row in cases.values())
    axis.scatter([x], [y], s=LEAST + AREA * minutes, color=colour, alpha=0.7, label=name)
    axis.annotate(f"{name}, {minutes:.1f} min", (x, y), textcoords="offset points", xytext=(8, 8), fontsize="small")


def compared(rows: Sequence[Row]) -> Job:
    """Return the search of the plot, at the longest of the budgets at which most editors share a case."""

    def editors(job: Job) -> int:
        found = _measured(rows, job)
        return len(found) if _shared(found) else 0

    return max((Job(SEARCH, budget) for budget in BUDGETS), key=lambda job: (editors(job), job.budget))


def _measured(rows: Sequence[Row], job: Job) -> dict[str, dict[str, float]]:
    """Return the shares seen of each editor that the search was made on."""
    found = {name: shares(rows, name, job) for name in PLOTTED}
    return {name: own for name, own in found.items() if own}


def _shared(found: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Return the cases in which every editor was measured."""
    return set.intersection(*map(set, found.values())) if found else set()
