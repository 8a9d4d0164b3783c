"""A verdict in sentences for readers who know no statistics: one for the whole, and one for each bound with its limit.

Report, terminal and Prefect's page say the same, for all take it from here. A bound is rounded up: what is printed
never promises more than was proven.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from expunge.engine.stats.verdict import OUTCOME_OF, Verdict
from expunge.tasks.views.findings import Findings, Gone, State, Stayed

OPENINGS = {
    "FAIL": "Not accepted",
    "INCONCLUSIVE": "Not proven, so not accepted",
    "ERROR": "No result, for the evidence cannot be used",
}
MARKS = {
    "met": "within the limit",
    "missed": "above the limit",
    "unproven": "perhaps above the limit",
    "open": "proves nothing",
}
GROUPS = {"look_alike": "look-alikes that had to stay", "general": "other things that had to stay"}


@dataclass(frozen=True)
class Bar:
    """One bound against its limit, as words and as shares of pictures."""

    key: tuple[str, str]
    words: str
    measured: float
    bound: float
    limit: float
    state: State

    @property
    def mark(self) -> str:
        """Return the state in words."""
        return MARKS[self.state]


def width(share: float, drawn: Sequence[Bar]) -> str:
    """Return how far a share reaches on a chart of these bars, as CSS has it."""
    longest = max(max(bar.bound, bar.limit, bar.measured) for bar in drawn)
    return f"{95 * share / longest:.2f}%"


def bars(findings: Findings) -> list[Bar]:
    """Return what decides, in the order of the report; what is not met comes first."""
    gone = [_gone(row) for row in (*findings.targets, *findings.probes, *findings.attacks) if row.decides]
    kept = [*map(_stayed, findings.groups), *map(_collapsed, (row for row in findings.kept if not row.met))]
    return sorted([*gone, *kept], key=lambda bar: bar.state == "met")


def headline(verdict: Verdict, findings: Findings) -> str:
    """Return what a verdict comes to, in one sentence or two."""
    if verdict.outcome == "PASS":
        return " ".join(_passed(findings))
    gravest = [reason for reason in verdict.reasons if OUTCOME_OF[reason.code] == verdict.outcome]
    shown = {bar.key: bar.words for bar in bars(findings) if bar.state != "met"}
    first = gravest[0]
    more = len(verdict.reasons) - 1
    words = shown.get((first.concept, first.probe), first.message)
    further = f" {more} more reason{'s' if more > 1 else ''} below." if more else ""
    return f"{OPENINGS[verdict.outcome.value]}: {words.rstrip('.')}.{further}"


def sentences(findings: Findings) -> list[str]:
    """Return the sentence of each bound with its limit; none where no figure was counted."""
    return [f"{bar.words}{f': {bar.mark}' if bar.state in ('missed', 'unproven') else ''}" for bar in bars(findings)]


def percent(share: float) -> str:
    """Return a share as people write it, such as 9.2 % or 10 %."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def rounded_up(bound: float) -> float:
    """Return an upper bound, rounded up to a tenth of a percent."""
    return math.ceil(round(1000 * bound, 6)) / 1000


def at_most(bound: float) -> str:
    """Return an upper bound as people write it, rounded up."""
    return percent(rounded_up(bound))


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _passed(findings: Findings) -> Iterator[str]:
    if len(findings.targets) == 1:
        yield f"{_gone(findings.targets[0]).words}."
    else:
        worst = max(findings.targets, key=lambda row: row.rate.upper)
        names = listed([row.name for row in findings.targets])
        yield f"{names}: each is seen in at most {at_most(worst.rate.upper)} of pictures, limit {percent(worst.limit)}."
    if any(row.decides for row in findings.attacks):
        yield "Every attack that decides stayed within its limit."
    if findings.groups:
        yield "What had to stay is still there."


def _gone(row: Gone) -> Bar:
    asked = row.probe.replace("_", " ")
    attacked = row.claim.kind == "attack"
    name = row.name if not row.probe else f"{row.name}, {'attacked' if attacked else 'asked'} by {asked}"
    tries = "attempts" if attacked else "pictures"
    if row.shown:
        words = f"{name}: seen in {row.rate.seen} of {row.rate.n} {tries}, at most {at_most(row.rate.upper)}"
        words += f", limit {percent(row.limit)}"
    else:
        words = f"{name}: the unedited model shows it in only {percent(row.rate.before)} of {tries}, and must in "
        words += f"{percent(row.control)}, so not seeing it proves nothing"
    return Bar((row.concept, row.probe), words, row.rate.rate, row.rate.upper, row.limit, row.state)


def _stayed(row: Stayed) -> Bar:
    name = f"{GROUPS[row.role]} ({row.category})"
    if row.shown:
        words = f"{name}: seen in {percent(row.drop.before)} before and {percent(row.drop.after)} after, "
        words += f"lost at most {at_most(row.drop.upper)}, limit {percent(row.limit)}"
    else:
        words = f"{name}: the unedited model shows them in only {percent(row.drop.before)}, so nothing is proven kept"
    return Bar((row.concept, ""), words, max(0.0, row.drop.drop), row.drop.upper, row.limit, row.state)


def _collapsed(row: Stayed) -> Bar:
    words = f"{row.name}, which had to stay: seen in {percent(row.drop.before)} before and {percent(row.drop.after)} "
    words += f"after, limit of the loss {percent(row.limit)}"
    return Bar((row.concept, ""), words, max(0.0, row.drop.drop), row.drop.upper, row.limit, row.state)
