"""The verdict on Prefect's page of a run."""

from __future__ import annotations

import logging
import re

from prefect.artifacts import create_markdown_artifact

from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.core.workflow.run_progress import artifact_key
from expunge.tasks.views.outcome import figures, in_words

HEAD = "| concept | role | before | after | bound | limit |\n|---|---|---|---|---|---|"


def show_verdict(order: Order, verdict: Ref, named: bool) -> None:
    """Put the verdict on the run's page, with figures and reasons where concepts may be `named`.

    No name of a person leaves the home. A page that cannot be written stops no work.
    """
    try:
        known = Verdict.load(verdict.path)
        page, key = verdict_page(order, known, named), artifact_key("verdict", order.request_id)
        create_markdown_artifact(page, key, known.outcome.value)
    except Exception as error:
        logging.getLogger(__name__).warning("the verdict is not on Prefect's page of the run: %s", error)


def verdict_page(order: Order, verdict: Verdict, named: bool) -> str:
    """Return the verdict as Markdown: outcome and grade and, where concepts are `named`, figures and reasons."""
    title = f"# {verdict.outcome.value}: {_cell(order.request_id)}\n\nGrade: {_cell(verdict.grade)}\n"
    if not named:
        return title
    rows = [
        f"| {_cell(row['name'])} | {row['role']} | {_share(row['before'])} | {_share(row['after'])} | "
        f"{_share(row['bound'])} | {_share(row['limit'])} |"
        for row in figures(order, verdict)
    ]
    reasons = [f"- {_cell(reason.message)}" for reason in verdict.reasons]
    return "\n".join([title, _cell(in_words(order, verdict)["headline"]), "", HEAD, *rows, "", *reasons])


def _share(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f} %"


def _cell(text: str) -> str:
    """Return a text that Markdown and HTML take as it is, on one line: whoever writes a policy chooses its names."""
    return re.sub(r"([\\`*_\[\]<>#|&!~])", r"\\\1", " ".join(text.split()))
