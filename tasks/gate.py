"""The gate: Great Expectations over the evidence and over the limits of the verdict; it opens only on proof.

Two suites are validated and their Data Docs built: `evidence` (the table is whole and sound) and `limits` (each bound
of the verdict against its limit). Great Expectations by itself passes an empty suite, an empty table and NaN in a
range, so the gate does not ask it whether all went well: it counts the expectations, wants True of each, and decides
the verdict again from the evidence.
"""

# pyright: reportPrivateImportUsage=false
# (Great Expectations exports its expectations without saying so in an __all__)

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.checkpoint import UpdateDataDocsAction
from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.data_context import FileDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from engine.canonical import sha256
from engine.evidence import ARMS, COLUMNS, DTYPES, KEY, ROLES
from engine.verdict import GROUP_CONTROL, Outcome, Verdict, decide
from tasks.data_docs import make_self_contained

SITE = "local_site"


@dataclass(frozen=True)
class GateResult:
    """Whether the gate opened; if not, what failed, in words. `data_docs` is the index page."""

    passed: bool
    outcome: Outcome
    failed_expectations: tuple[str, ...]
    data_docs: Path
    statistics: dict[str, int]


@dataclass(frozen=True)
class Statement:
    """One number of the verdict that must lie in [low, high]; `name` becomes a column of the table of limits."""

    name: str
    text: str
    value: float
    low: float
    high: float


def gate(evidence: pd.DataFrame, planned: int, verdict: Verdict, folder: Path) -> GateResult:
    """Open only if every expectation holds and the verdict, decided anew from the evidence, is the same and a PASS.

    `planned` is the number of rows the probes were to make; the file context and its Data Docs are kept in `folder`.
    """
    statements = tuple(state(verdict))
    content = sha256(verdict.to_json().encode())[:12]
    suites = {
        f"evidence-{content}": (evidence, evidence_expectations(planned)),
        f"limits-{content}": (limits_table(statements, verdict), limits_expectations(statements)),
    }
    context = open_context(folder)
    failed, statistics = list(_unproven(evidence, planned, verdict)), {"expected": 0, "evaluated": 0, "successful": 0}
    for name, (frame, expectations) in suites.items():
        result = validate(context, name, frame, expectations)
        failed += failures(name, result, len(expectations))
        statistics["expected"] += len(expectations)
        statistics["evaluated"] += len(result.results)
        statistics["successful"] += sum(item.success is True for item in result.results)
    docs = make_self_contained(folder / "data_docs")
    return GateResult(not failed, verdict.outcome, tuple(failed), docs, statistics)


def evidence_expectations(planned: int) -> list[Expectation]:
    """The table is complete, typed, unique and without a gap; the range of the score alone would pass on NaN."""
    kinds = {name: "str" if dtype == "string" else dtype for name, dtype in DTYPES.items()}
    return [
        gxe.ExpectTableRowCountToEqual(value=planned),
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectTableColumnsToMatchSet(column_set=COLUMNS, exact_match=True),
        *(gxe.ExpectColumnValuesToBeOfType(column=name, type_=kind) for name, kind in kinds.items()),
        *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in COLUMNS),
        gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeInSet(column="arm", value_set=list(ARMS)),
        gxe.ExpectColumnValuesToBeInSet(column="role", value_set=list(ROLES)),
        gxe.ExpectColumnValuesToBeInSet(column="fault", value_set=[""]),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=KEY),
    ]


def state(verdict: Verdict) -> Iterator[Statement]:
    """The numbers that the verdict rests on, with the limits they must keep."""
    limits, sure = verdict.acceptance, f"at {verdict.acceptance.confidence:g} confidence"
    for target in verdict.targets:
        name, total = target.concept, target.total
        text = f"{name}: rate seen on the unedited model >= {limits.min_control_rate:g}"
        yield Statement(f"target {name}: before", text, total.before, limits.min_control_rate, 1)
        text = f"{name}: upper bound of the rate seen after the edit <= {limits.max_target_rate:g} {sure}"
        yield Statement(f"target {name}: after", text, total.upper, 0, limits.max_target_rate)
    for group in verdict.groups:
        text = f"{group.name}: rate seen on the unedited model >= {GROUP_CONTROL:g}"
        yield Statement(f"group {group.name}: before", text, group.total.before, GROUP_CONTROL, 1)
        text = f"{group.name}: upper bound of the drop <= {limits.max_retain_drop:g} {sure}"
        yield Statement(f"group {group.name}: drop", text, group.total.upper, -1, limits.max_retain_drop)
    for kept in verdict.retained:
        text = f"{kept.concept}: lower bound of its own drop <= {limits.max_retain_drop:g} {sure}"
        yield Statement(f"retained {kept.concept}: drop", text, kept.total.lower, -1, limits.max_retain_drop)


def limits_table(statements: tuple[Statement, ...], verdict: Verdict) -> pd.DataFrame:
    """One row, one column a statement: Data Docs then show each under its own name with the number observed."""
    return pd.DataFrame([{"outcome": str(verdict.outcome)} | {_shown(each.name): each.value for each in statements}])


def limits_expectations(statements: tuple[Statement, ...]) -> list[Expectation]:
    """A maximum, because it fails on NaN and an empty table, and shows its number."""
    return [
        gxe.ExpectTableRowCountToEqual(value=1),
        gxe.ExpectTableColumnCountToEqual(value=1 + len(statements)),
        gxe.ExpectColumnValuesToNotBeNull(column="outcome"),
        gxe.ExpectColumnValuesToBeInSet(column="outcome", value_set=[str(Outcome.PASS)]),
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


def validate(
    context: FileDataContext, name: str, frame: pd.DataFrame, expectations: Sequence[Expectation]
) -> ExpectationSuiteValidationResult:
    """Run one suite over one table and build its page; says nothing yet about whether it may be believed."""
    asset = context.data_sources.add_or_update_pandas(name).add_dataframe_asset(name)
    data = asset.add_batch_definition_whole_dataframe(name)
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=list(expectations)))
    definition = gx.ValidationDefinition(name=name, data=data, suite=suite)
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add_or_update(definition)],
        actions=[UpdateDataDocsAction(name="data_docs", site_names=[SITE])],
        result_format="SUMMARY",
    )
    run = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame})
    (result,) = run.run_results.values()
    return result


def failures(name: str, result: ExpectationSuiteValidationResult, expected: int) -> Iterator[str]:
    """What speaks against the result, its overall `success` apart, which is True for a suite without expectations."""
    if expected == 0 or len(result.results) != expected:
        yield f"{name}: {len(result.results)} expectations were evaluated of {expected}"
    for item in result.results:
        if item.success is not True:
            yield f"{name}: {_told(item.expectation_config)}"


def _unproven(evidence: pd.DataFrame, planned: int, verdict: Verdict) -> Iterator[str]:
    if verdict.outcome is not Outcome.PASS:
        yield f"the verdict is {verdict.outcome}"
    if not len(evidence) == planned == verdict.planned == verdict.evaluated:
        yield f"{len(evidence)} rows, planned {planned}; the verdict says {verdict.evaluated} of {verdict.planned}"
    if decide(evidence, planned, verdict.acceptance) != verdict:
        yield "the verdict does not follow from this evidence"


def open_context(folder: Path) -> FileDataContext:
    """The file context in `folder/gx`, silent, with its pages in `folder/data_docs`."""
    folder.mkdir(parents=True, exist_ok=True)
    context = gx.get_context(mode="file", project_root_dir=folder)
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    context.update_data_docs_site(
        SITE,
        {
            "class_name": "SiteBuilder",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": "../data_docs/"},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    return context


def _shown(text: str) -> str:
    return html.escape(text)  # Great Expectations puts column names and descriptions into its pages as they are


def _told(configuration: ExpectationConfiguration | None) -> str:
    if configuration is None:
        return "an expectation that says not what it expects"
    statement = (configuration.meta or {}).get("statement")
    return statement or f"{configuration.type} {configuration.kwargs.get('column', '')}".strip()
