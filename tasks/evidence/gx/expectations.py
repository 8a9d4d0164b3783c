"""What Great Expectations is to hold true of evidence and verdict, told in words a reader of its Data Docs knows."""

# pyright: reportPrivateImportUsage=false
# (Great Expectations exports its expectations without saying so in an __all__)

import html
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.expectations.expectation import Expectation

from expunge.engine.stats.evidence.table import COLUMNS, DTYPES, EVERY_ARM, KEY, ROLES
from expunge.engine.stats.limits.acceptance import GROUP_CONTROL, Acceptance
from expunge.engine.stats.requirements import demands
from expunge.engine.stats.verdict import Drop, Outcome, Rate, TargetResult, Verdict

WORDS = {
    "concept": "concept",
    "role": "role of the concept",
    "category": "category of the concept",
    "probe": "prompt family or attack",
    "prompt": "prompt",
    "seed": "seed",
    "arm": "model, unedited, edited or its denoiser alone",
    "seen": "judgement, whether the concept is seen",
    "score": "score by the judge",
    "picture": "digest",
    "fault": "finding of faults",
    "shows": "note of what it shows, empty where the judge cannot say",
}

WORDED = {
    "target": ("", "rate seen", "rate"),
    "probe": (", asked for by {}", "rate seen", "rate"),
    "attack": (", attack {}", "success", "success"),
    "noise": (", nothing recognisable in its place", "rate", "rate"),
}
"""What a demand is called: by what it asks, what the unedited model has to show, and what has a bound."""


@dataclass(frozen=True)
class Statement:
    """One number of the verdict that must lie in [low, high]; `name` becomes a column of the table of limits."""

    name: str
    text: str
    value: float
    low: float
    high: float


def evidence_expectations(planned: int) -> list[Expectation]:
    """Return the expectations on the evidence: the table is complete, typed, unique and without a gap.

    The range of the score alone would pass on NaN.
    """
    kinds = {name: "str" if dtype == "string" else dtype for name, dtype in DTYPES.items()}
    texts = {name: f"every judged picture has its {words}" for name, words in WORDS.items()}
    return [
        gxe.ExpectTableRowCountToEqual(value=planned, description=f"{planned} pictures were planned and judged"),
        gxe.ExpectTableRowCountToBeBetween(min_value=1, description="there is a judged picture at all"),
        gxe.ExpectTableColumnsToMatchSet(
            column_set=COLUMNS, exact_match=True, description="each picture's record has its parts and no others"
        ),
        *(
            gxe.ExpectColumnValuesToBeOfType(column=name, type_=kind, description=f"{texts[name]} as {kind}")
            for name, kind in kinds.items()
        ),
        *(gxe.ExpectColumnValuesToNotBeNull(column=name, description=texts[name]) for name in COLUMNS),
        gxe.ExpectColumnValuesToBeBetween(
            column="score", min_value=0, max_value=1, description="the judge's score of every picture lies in [0, 1]"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="arm",
            value_set=list(EVERY_ARM),
            description="every picture is of the unedited or the edited model, or its denoiser in the base's pipeline",
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="role", value_set=list(ROLES), description="every concept is a target or one that must stay"
        ),
        gxe.ExpectColumnValuesToBeInSet(column="fault", value_set=[""], description="no picture has a fault"),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=KEY, description="no concept is judged twice in one prompt, seed and model"
        ),
    ]


def state(verdict: Verdict, limits: Acceptance, names: Mapping[str, str]) -> Iterator[Statement]:
    """Yield the numbers that the verdict rests on, with the limits of the policy they must keep.

    A concept is told by its name, or by its id where `names` has none, or the same for another.
    """
    times = Counter(names.values())
    called = {concept: name for concept, name in names.items() if times[name] == 1}
    for target in verdict.targets:
        yield from _state_target(target, called.get(target.concept, target.concept), limits)
    for group in verdict.groups:
        name, total = group.name, group.total
        text = f"{name}: rate seen on the unedited model >= {GROUP_CONTROL:g}"
        yield Statement(f"group {name}: before", text, total.before, GROUP_CONTROL, 1)
        text = f"{name}: upper bound of the drop in what is {_of(total)} <= {limits.max_retain_drop:g} {_sure(limits)}"
        yield Statement(f"group {name}: drop", text, total.upper, -1, limits.max_retain_drop)
    for claim in verdict.claims:
        name = called.get(claim.concept, claim.concept)
        if claim.kind == "collapse":
            text = f"{name}: neither proof nor suspicion that it dropped by more than {limits.max_retain_drop:g} "
            text += f"(p, not corrected for the number of claims, above {limits.suspicion:g})"
            yield Statement(f"retained {name}: p of collapse", text, claim.p, limits.suspicion, 1)
        if claim.kind == "survival":
            text = f"{name}, asked for by {claim.asked_by}: neither proof nor suspicion that it is seen in more than "
            text += f"{claim.limit:g} (p, corrected for {len(verdict.claims)} claims, above {limits.suspicion:g})"
            yield Statement(f"target {name}, {claim.asked_by}: p of survival", text, claim.holm, limits.suspicion, 1)


def _state_target(target: TargetResult, name: str, limits: Acceptance) -> Iterator[Statement]:
    for demand in demands(target, limits):
        by, seen, rate = WORDED[demand.kind]
        named = filter(None, [name, demand.probe or ("noise" if demand.kind == "noise" else "")])
        who, column = name + by.format(demand.probe), f"target {', '.join(named)}"
        if demand.control:
            text = f"{who}: {seen} on the unedited model >= {demand.control:g}"
            yield Statement(f"{column}: before", text, demand.rate.before, demand.control, 1)
        if (limit := demand.limit) is not None:
            text = f"{who}: upper bound of the {rate} {_of(demand.rate)} after the edit <= {limit:g} "
            yield Statement(f"{column}: after", text + _sure(demand.terms), demand.rate.upper, 0, limit)


def _of(total: Rate | Drop) -> str:
    return "seen" if total.bounds_of == "seen" else "shown, the judge's error counted in,"


def _sure(limits: Acceptance) -> str:
    looks = "at every look" if limits.sampling == "sequential" else ""
    return f"at {limits.confidence:g} confidence {looks}".rstrip()


def limits_table(statements: tuple[Statement, ...], verdict: Verdict) -> pd.DataFrame:
    """Return one row with one column a statement: Data Docs show each under its own name with its number."""
    return pd.DataFrame([{"outcome": str(verdict.outcome)} | {_shown(each.name): each.value for each in statements}])


def limits_expectations(statements: tuple[Statement, ...]) -> list[Expectation]:
    """Return the expectations that the verdict's numbers keep their limits.

    Each is on a maximum, because that fails on NaN and an empty table, and shows its number.
    """
    return [
        gxe.ExpectTableRowCountToEqual(value=1, description="there is one verdict"),
        gxe.ExpectTableColumnCountToEqual(
            value=1 + len(statements),
            description=f"beside the outcome it has {len(statements)} numbers, each with its limit",
        ),
        gxe.ExpectColumnValuesToNotBeNull(column="outcome", description="the verdict has an outcome"),
        gxe.ExpectColumnValuesToBeInSet(
            column="outcome", value_set=[str(Outcome.PASS)], description="the outcome is PASS"
        ),
        *(
            gxe.ExpectColumnMaxToBeBetween(
                column=_shown(each.name),
                min_value=each.low,
                max_value=each.high,
                description=_shown(each.text).replace("$", "$$"),
                meta={"statement": each.text},
            )
            for each in statements
        ),
    ]


def _shown(text: str) -> str:
    return html.escape(text)  # Great Expectations puts column names and descriptions into its pages as they are
