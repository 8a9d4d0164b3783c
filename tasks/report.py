"""The report: one self-contained HTML page, verdict first, that needs no server and no network to be read.

What it shows of pictures is kept in the work folder beside it, so that it can be written anew without the store.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.canonical_json import canonical_json
from expunge.engine.families import family_named
from expunge.engine.files.atomic import write_whole
from expunge.engine.models.format import pipeline_name
from expunge.engine.plans.edit_plan import EditPlan
from expunge.engine.stats.evidence import table as evidence
from expunge.engine.stats.limits.attempts import confidence_over_all
from expunge.engine.stats.verdict import Verdict
from expunge.tasks.core.pages import pages_of
from expunge.tasks.core.paths import DELTAS, REPORT, ROUNDING, SHEETS, readable
from expunge.tasks.core.work_order import Order, Ref, Weights, verdict_of
from expunge.tasks.core.workflow.steps import step
from expunge.tasks.evidence.auto_tuning import tried
from expunge.tasks.evidence.budget import spent
from expunge.tasks.evidence.examination import examination
from expunge.tasks.evidence.quality import read_quality
from expunge.tasks.ledger.case import Case
from expunge.tasks.ledger.receipt import Receipt, Step, of_step
from expunge.tasks.views.assurances import WORDS_OR_WEIGHTS
from expunge.tasks.views.closest_attempts import Tried, ranked_attempts
from expunge.tasks.views.closest_pictures import keep_closest, read_closest, thumbnail
from expunge.tasks.views.contact_sheets import TITLES, contact_sheets
from expunge.tasks.views.findings import Findings
from expunge.tasks.views.judge_facts import judge_facts
from expunge.tasks.views.model_card import example, front_matter
from expunge.tasks.views.request_facts import request_facts
from expunge.tasks.views.sentences import bars, headline, rounded_up, width

PAGES = pages_of("expunge.tasks.views")
PAGES.globals["WORDS_OR_WEIGHTS"] = WORDS_OR_WEIGHTS
PAGES.filters["percent"] = lambda share: f"{100 * share:.1f} %"
PAGES.filters["width"] = width
PAGES.filters["at_most"] = lambda bound: f"{100 * rounded_up(bound):.1f} %"
PAGES.filters["literal"] = lambda text: MARKS.sub(r"\\\g<0>", " ".join(text.split()))
PAGES.filters["chance"] = lambda p: f"{p:.2g}"
MARKS = re.compile(r"[\\`*_\[\]()!~|]")
"""What Markdown would read in a name; HTML is escaped in every page."""
EXACT = "those of Clopper and Pearson, exact for a number of pictures that was fixed beforehand"
BOUNDS = {
    "fixed": f"{EXACT}; of a drop the union of two of them. A further submission because of this one is "
    "another attempt, at a stricter confidence",
    "sequential": "those of a mixture martingale, which hold at every look, for the pictures were drawn in rounds; "
    f"of attacks, whose number is fixed beforehand, {EXACT}",
}
"""What the bounds of each way of sampling are."""


def facts(case: Case, verdict: Verdict) -> dict[str, Any]:
    """Return what report and model card say, as data; the same work gives the same."""
    order = case.order
    exam = examination(order)
    quality, unmeasured = read_quality(order.folder)
    return {
        "order": order,
        "state": order.desired,
        "level": exam.level,
        "unread": len(exam.unread),
        "names": exam.names,
        "verdict": verdict,
        "findings": (found := Findings.of(verdict, exam.names)),
        "bars": bars(found),
        "headline": headline(verdict, found),
        "quality": quality,
        "unmeasured": unmeasured,
        "judge": judge_facts(order, verdict),
        "sampler": exam.sampler,
        "frames": family_named(pipeline_name(order.base_folder)).frames,
        "bounds": BOUNDS[verdict.acceptance.sampling],
        "edit": edit_facts(order.folder),
        "trials": tried(order),
        "engine_version": case.version,
    }


def edit_facts(folder: Path) -> dict[str, Any] | None:
    """Return what the plan says of the edit, and what rounding took of it.

    None where a model was given for examination, and no plan made.
    """
    if not (path := folder / DELTAS).exists():
        return None
    plan = EditPlan.load(path)
    changes = [values["change"] for values in plan.diagnostics.values()]
    return {
        "editor": plan.editor,
        "settings": dict(plan.settings),
        "layers": len(changes),
        "largest_change": max(changes),
        "mean_change": sum(changes) / len(changes),
        "rounding": _rounding(folder / ROUNDING),
        "plan": plan.digest,
    }


def _rounding(path: Path) -> float | None:
    """Return the largest share that was lost of any weight's change; None in the folders of earlier versions."""
    if not path.exists():
        return None
    with readable(path):
        return float(json.loads(path.read_bytes())["largest"])


def write_report(case: Case, candidate: str, verdict: Ref, table: Ref) -> Path:
    """Contact sheets, what came closest to each target, and the page; `candidate` is the digest of the judged model."""
    order = case.order
    rows = evidence.read(table.path)
    ranked = ranked_attempts(order, candidate, rows)
    keep_closest(order, candidate, rows, ranked)
    sheets = contact_sheets(order, candidate, table.path, ranked)
    write_whole(_closest_file(order), canonical_json([_closest(*key, tried) for key, tried in ranked.items()]))
    return render_report(case, Verdict.load(verdict.path), sheets)


def rerender(case: Case) -> Path:
    """Return the report of an order whose verification is on disk; its pictures are taken as they were drawn."""
    sheets = {path.stem: path for path in (case.order.folder / SHEETS).glob("*.png")}
    return render_report(case, verdict_of(case.order), sheets)


def render_report(case: Case, verdict: Verdict, sheets: Mapping[str, Path]) -> Path:
    """Write `report.html` into the order's folder."""
    order, status, own = case.order, case.status, case.policies.get(case.order.policy)
    closest = json.loads(_closest_file(order).read_bytes()) if _closest_file(order).exists() else []
    page = PAGES.get_template("report.html").render(
        **facts(case, verdict),
        request=request_facts(case, own),
        closest={(each["concept"], each["attack"]): each for each in closest},
        nearest=read_closest(order),
        sheets={title: _encoded(sheets[name].read_bytes()) for name, title in TITLES.items() if name in sheets},
        cost=spent(order.folder),
        receipts=case.receipts,
        replaces=own.replaces if own else (),  # nobody submitted what was only examined
        replaced=status.replaced.get(order.request_id) if status else None,
        check=next(iter(of_step(case.receipts, Step.CHECKED)), None),
        doubts=doubts(case.receipts),
    )
    path = order.folder / REPORT
    write_whole(path, page.encode())
    return path


def doubts(receipts: Sequence[Receipt]) -> list[str]:
    """Return what kept the gate shut when it was last tried; nothing, if it opened or was not tried."""
    gates = [receipt for receipt in of_step(receipts, Step.GATED, Step.CHECKED) if receipt.verdict]
    if not gates:
        return []
    last, verdict = gates[-1], gates[-1].verdict or {}
    failed = verdict.get("failed", verdict.get("doubts"))
    shut = last.outcome != "open" if last.step == Step.GATED else bool(failed)
    if not shut:
        return []
    return [str(doubt) for doubt in failed] if failed and isinstance(failed, list) else ["it stayed shut"]


def render_card(case: Case, verdict: Verdict) -> bytes:
    """Return the model card that travels in the bundle."""
    base, exam = case.order.base_folder, examination(case.order)
    page = PAGES.get_template("model_card.md").render(
        **facts(case, verdict),
        **proof_facts(verdict),
        front_matter=front_matter(base, verdict.grade.partition(";")[0].replace(" ", "-")),
        example=example(base, exam),
    )
    return page.encode()


def describe(case: Case, verdict: Verdict) -> str:
    """Return the model card as other pages have it, of a model that is published or is not."""
    page = PAGES.get_template("description.md").render(**facts(case, verdict), **proof_facts(verdict))
    return page.strip()


def proof_facts(verdict: Verdict) -> dict[str, Any]:
    """Return what a page needs that says what the proof says and what it does not.

    `risk` is the chance of a false PASS, `attacks` are those that were made.
    """
    terms = verdict.acceptance
    return {
        "risk": 1 - confidence_over_all(terms.confidence, terms.attempt),
        "attacks": sorted({attack for target in verdict.targets for attack in target.attacks}),
    }


def _closest_file(order: Order) -> Path:
    return order.folder / "closest.json"


def _closest(concept: str, attack: str, tried: Sequence[Tried]) -> dict[str, Any]:
    best = tried[0]
    return {
        "concept": concept,
        "attack": attack,
        "said": best.said,
        "found": bool(best.found),
        "seen": best.seen,
        "score": f"{best.score:.3f}",
        "picture": thumbnail(best.after),
    }


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@step("write the report")
def report_task(case: Case, candidate: Weights, verdict: Ref, table: Ref) -> Ref:
    return Ref.of(write_report(case, candidate.digest, verdict, table))
