"""The gate: Great Expectations over the evidence and over the limits of the verdict; it opens only on proof.

Two suites are validated and their Data Docs built: `evidence` (the table is whole and sound) and `limits` (each bound
of the verdict against the policy's limit). Great Expectations by itself passes an empty suite, an empty table and NaN
in a range, so the gate does not ask it whether all went well: it counts the expectations, wants True of each, decides
the verdict again from the evidence, and replays the rule by which pictures were asked for.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import great_expectations as gx
import pandas as pd
from great_expectations.checkpoint import UpdateDataDocsAction
from great_expectations.core import ExpectationSuiteValidationResult
from great_expectations.data_context import FileDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from expunge.canonical_json import sha256
from expunge.engine.files.comparison import Comparison
from expunge.engine.stats.decide import decide
from expunge.engine.stats.limits.acceptance import Acceptance
from expunge.engine.stats.sampling_plan import breaches
from expunge.engine.stats.verdict import JudgeError, Outcome, Verdict
from expunge.tasks.evidence.gx.data_docs import Suite, make_self_contained, write_index
from expunge.tasks.evidence.gx.expectations import evidence_expectations, limits_expectations, limits_table, state

SITE, DATA_DOCS = "local_site", "data_docs"
ABOUT = {
    "evidence": "the judged pictures: all are there, whole and told apart",
    "limits": "the verdict: each number that it rests on keeps its limit",
}
"""The subject of each suite."""


@dataclass(frozen=True)
class GateResult:
    """The gate's decision, and the names of what failed. `data_docs` is the index page."""

    passed: bool
    failed_expectations: tuple[str, ...]
    data_docs: Path


@dataclass(frozen=True)
class Terms:
    """The terms to which the gate holds evidence and verdict, taken from the policy and never from the verdict.

    `planned` is the number of rows the probes were to make, `plan` the questions by round
    (`expunge.engine.stats.sampling_plan.plan_of`), without which evidence sampled in rounds is not believed; `judge`
    the judge's error by category, if it was measured; `names` what people call each concept, by id; `comparison` says
    how the candidate differs from its base.
    """

    planned: int
    acceptance: Acceptance
    plan: pd.DataFrame | None = None
    judge: Mapping[str, JudgeError] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    comparison: Comparison | None = None


def gate(evidence: pd.DataFrame, terms: Terms, verdict: Verdict, folder: Path, headline: str = "") -> GateResult:
    """Open only if every expectation holds and the verdict, decided anew from the evidence, is the same and a PASS.

    The file context and its Data Docs are kept in `folder`; `headline` is the verdict in a sentence.
    """
    planned, statements = terms.planned, tuple(state(verdict, terms.acceptance, terms.names))
    content = sha256(verdict.to_json().encode())[:12]
    suites = {
        f"evidence-{content}": (evidence, evidence_expectations(planned)),
        f"limits-{content}": (limits_table(statements, verdict), limits_expectations(statements)),
    }
    context = open_context(folder)
    site, results = folder / DATA_DOCS, list[Suite]()
    failed = list(_unproven(evidence, terms, verdict))
    for name, (frame, expectations) in suites.items():
        result = validate(context, name, frame, expectations)
        failed += failures(name, result, len(expectations))
        results.append(Suite.of(name, ABOUT[name.partition("-")[0]], result, site))
    make_self_contained(site)
    docs = write_index(site, verdict, headline, results, len(statements), failed)
    return GateResult(not failed, tuple(failed), docs)


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
        actions=[UpdateDataDocsAction(name=DATA_DOCS, site_names=[SITE])],
        result_format="SUMMARY",
    )
    run = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame})
    (result,) = run.run_results.values()
    return result


def failures(name: str, result: ExpectationSuiteValidationResult, expected: int) -> Iterator[str]:
    """Yield what speaks against the result, without its overall `success`.

    That is True for a suite without expectations.
    """
    if expected == 0 or len(result.results) != expected:
        yield f"{name}: {len(result.results)} expectations were evaluated of {expected}"
    for item in result.results:
        if item.success is not True:
            yield f"{name}: {_description(item.expectation_config)}"


def _unproven(evidence: pd.DataFrame, terms: Terms, verdict: Verdict) -> Iterator[str]:
    planned, limits, judge = terms.planned, terms.acceptance, dict(terms.judge)
    if verdict.outcome is not Outcome.PASS:
        yield f"the verdict is {verdict.outcome}"
    if not len(evidence) == planned == verdict.planned == verdict.evaluated:
        yield f"{len(evidence)} rows, planned {planned}; the verdict says {verdict.evaluated} of {verdict.planned}"
    if (verdict.acceptance, verdict.judge) != (limits, judge):
        yield "the verdict was reached with other limits, or another error of the judge, than the policy and judge have"
    if verdict.comparison != terms.comparison:
        yield "the verdict is of a candidate that was compared with its base in another way, or not at all"
    if (anew := decide(evidence, planned, limits, judge, terms.comparison)) != verdict:
        yield "the verdict does not follow from this evidence"
    if terms.plan is None and limits.sampling == "sequential":
        yield "the evidence was sampled in rounds, and there is no plan to tell that the rule for stopping was kept"
    if terms.plan is not None and anew.outcome is not Outcome.ERROR:
        yield from breaches(terms.plan, evidence, limits, judge)


def open_context(folder: Path) -> FileDataContext:
    """Return a new file context in `folder/gx`, silent, with its pages in `folder/data_docs`.

    One that an earlier run left is removed, because its files may have been cut short.
    """
    shutil.rmtree(folder / "gx", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    context = gx.get_context(mode="file", project_root_dir=folder)
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    context.update_data_docs_site(
        SITE,
        {
            "class_name": "SiteBuilder",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": f"../{DATA_DOCS}/"},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    return context


def _description(configuration: ExpectationConfiguration | None) -> str:
    if configuration is None:
        return "an expectation that says not what it expects"
    statement = (configuration.meta or {}).get("statement")
    return statement or f"{configuration.type} {configuration.kwargs.get('column', '')}".strip()
