"""The report: one self-contained HTML page, verdict first, that needs no server and no network to be read."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import engine
from engine.deltas import EditPlan
from engine.results import Verdict
from tasks.intake import load_state
from tasks.journal import journal
from tasks.order import Order, Ref
from tasks.sheets import contact_sheets

PAGES = Environment(
    loader=PackageLoader("tasks", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters["percent"] = lambda share: f"{100 * share:.1f} %"


def facts(order: Order, verdict: Verdict) -> dict[str, Any]:
    """What report and model card say, as data."""
    state = load_state(order)
    return {
        "order": order,
        "state": state,
        "names": {item.id: item.name for item in (*state.concepts, *state.retain)},
        "verdict": verdict,
        "edit": edit_facts(order.folder / "deltas.safetensors"),
        "engine_version": engine.__version__,
        "receipts": [r for r in journal(order.home, order.line).receipts() if r.settings.get("work") == order.key],
    }


def edit_facts(path: Path) -> dict[str, Any] | None:
    """What the plan says of the edit; None where a model was given for examination, and no plan made."""
    if not path.exists():
        return None
    plan = EditPlan.load(path)
    changes = [values["change"] for values in plan.diagnostics.values()]
    return {
        "editor": plan.editor,
        "settings": dict(plan.settings),
        "layers": len(changes),
        "largest_change": max(changes),
        "mean_change": sum(changes) / len(changes),
        "plan": plan.digest,
    }


def write_report(order: Order, candidate: str, verdict: Ref, table: Ref) -> Path:
    """Contact sheets and the page on them; `candidate` is the digest of the model that was judged."""
    return render_report(order, Verdict.load(verdict.path), contact_sheets(order, candidate, table.path))


def render_report(order: Order, verdict: Verdict, sheets: dict[str, Path]) -> Path:
    """Write `report.html` into the order's folder."""
    pictures = {name: base64.b64encode(path.read_bytes()).decode() for name, path in sheets.items()}
    page = PAGES.get_template("report.html").render(sheets=pictures, **facts(order, verdict))
    path = order.folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def render_card(order: Order, verdict: Verdict) -> bytes:
    """The model card that travels in the bundle."""
    known = {key: value for key, value in facts(order, verdict).items() if key != "receipts"}
    return PAGES.get_template("model_card.md").render(**known).encode()


def rerender(order: Order) -> Path:
    """The report of an order whose verification is on disk; its sheets are taken as they were drawn."""
    verdict = Verdict.load(order.folder / "verdict.json")
    return render_report(order, verdict, {path.stem: path for path in sorted((order.folder / "sheets").glob("*.png"))})
