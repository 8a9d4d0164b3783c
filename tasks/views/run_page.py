"""What people see on Prefect's page of a run: the verdict, and the pictures before and after."""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from prefect.artifacts import create_image_artifact, create_markdown_artifact

from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.work_order import Order, Ref
from expunge.tasks.core.workflow.run_progress import artifact_key
from expunge.tasks.views.contact_sheets import TITLES, kept_sheets
from expunge.tasks.views.outcome import figures, in_words

HEAD = "| concept | role | before | after | bound | limit |\n|---|---|---|---|---|---|"
WIDEST = 1000  # the server keeps a picture as text, so it is sent no larger than a page shows it


def show_verdict(order: Order, verdict: Ref, named: bool, doubts: Sequence[str] = ()) -> None:
    """Put the verdict on the run's page, with figures, reasons and the gate's `doubts` where concepts may be `named`.

    No name of a person leaves the home. A page that cannot be written stops no work.
    """
    with _shown("the verdict"):
        known = Verdict.load(verdict.path)
        page, key = verdict_page(order, known, named, doubts), artifact_key("verdict", order.request_id)
        create_markdown_artifact(page, key, outcome_of(known, doubts))


def show_base(name: str, bundle: str) -> None:
    """Put on the run's page that a request or line `name` came to the base itself, and by which bundle."""
    with _shown("the base"):
        page = f"# The base, as it was: {_cell(name)}\n\nNothing is erased, so nothing was measured. Bundle `{bundle}`."
        create_markdown_artifact(page, artifact_key("verdict", name), "the base")


def show_sheets(order: Order, named: bool) -> None:
    """Put the sheet of what had to go, before and after, on the run's page; no picture of a person leaves the home."""
    for sheet in kept_sheets(order)[:1] if named else ():
        with _shown("the contact sheet"):
            key = artifact_key("pictures", order.request_id)
            create_image_artifact(picture_of(sheet), key, f"{TITLES[sheet.stem]}, before and after")


def picture_of(sheet: Path) -> str:
    """Return a sheet as an address that holds the picture itself: a page of Prefect can ask no other server."""
    content = io.BytesIO()
    with Image.open(sheet) as picture:
        picture.thumbnail((WIDEST, 10 * WIDEST))
        picture.convert("RGB").save(content, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def outcome_of(verdict: Verdict, doubts: Sequence[str]) -> str:
    """Return the outcome as a run ends with it: a PASS that the gate doubts is none."""
    return "ERROR" if doubts and not verdict.reasons else verdict.outcome.value


def verdict_page(order: Order, verdict: Verdict, named: bool, doubts: Sequence[str] = ()) -> str:
    """Return the verdict as Markdown: outcome and grade and, where concepts are `named`, figures and reasons."""
    doubted = [] if verdict.reasons else list(doubts)
    title = f"# {outcome_of(verdict, doubts)}: {_cell(order.request_id)}\n\nGrade: {_cell(verdict.grade)}\n"
    if doubted:
        title += "\nThe gate doubts the verdict, so it is none.\n"
    if not named:
        return title
    rows = [
        f"| {_cell(row['name'])} | {row['role']} | {_share(row['before'])} | {_share(row['after'])} | "
        f"{_share(row['bound'])} | {_share(row['limit'])} |"
        for row in figures(order, verdict)
    ]
    reasons = [f"- {_cell(reason)}" for reason in [*(reason.message for reason in verdict.reasons), *doubted]]
    words = [] if doubted else [_cell(in_words(order, verdict)["headline"])]
    return "\n".join([title, *words, "", HEAD, *rows, "", *reasons])


@contextmanager
def _shown(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logging.getLogger(__name__).warning("%s is not on Prefect's page of the run: %s", what, error)


def _share(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f} %"


def _cell(text: str) -> str:
    """Return a text that Markdown and HTML take as it is, on one line: whoever writes a policy chooses its names."""
    return re.sub(r"([\\`*_\[\]<>#|&!~])", r"\\\1", " ".join(text.split()))
