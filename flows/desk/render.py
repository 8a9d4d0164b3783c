"""Turn data into pages: every value is escaped, dates and states are said in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from expunge.flows.terminal import plain
from expunge.policies.kinds import KINDS, REQUESTS

FOLDER = Path(__file__).parent
STATES = {
    "received": ("Received", "calm"),
    "defective": ("Incomplete", "warn"),
    "accepted": ("Taken up", "calm"),
    "planned": ("Edit planned", "calm"),
    "erased": ("Edit made", "calm"),
    "attempted": ("Being verified", "calm"),
    "verified": ("Verified", "calm"),
    "gated": ("Checked", "calm"),
    "validated": ("Bundle ready", "calm"),
    "awaiting_approval": ("Waits for a decision", "warn"),
    "approved": ("Approved, not yet published", "warn"),
    "published": ("Published", "good"),
    "repeated": ("Done by an earlier request", "good"),
    "restored": ("Restored", "good"),
    "replaced": ("Replaced", "calm"),
    "rejected": ("Refused", "bad"),
    "suspect": ("Suspect", "bad"),
    "countered": ("Countered", "warn"),
    "rescinded": ("Taken back", "warn"),
}
HEADINGS = {kind.name: kind.heading for kind in KINDS.values()}
CATEGORIES = {
    "object": "an object",
    "style": "a style",
    "identity": "a real person",
    "character": "a character",
    "explicit": "explicit content",
}


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page that a template makes of these values."""
    session, sessions = request.state.session, request.app.state.sessions
    common = {"who": session.name, "csrf": sessions.form_token(session), "path": request.url.path}
    common["old"] = getattr(request.state, "old", "")
    response = HTMLResponse(PAGES.get_template(template).render(**common, **values), status)
    if not session.name:
        sessions.write(session, response)
    return response


def state_words(state: str) -> tuple[str, str]:
    """Return a state in words, and the class of its colour."""
    return STATES.get(state, (state.replace("_", " "), "calm"))


def date_words(moment: str | datetime | None) -> Markup:
    """Return a moment as a person writes it, in UTC."""
    if not moment:
        return Markup("")
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), f"{at.day} {at:%b %Y, %H:%M} UTC")


def days_words(days: float | None) -> str:
    """Say how much time is left."""
    if days is None:
        return "without delay"
    size = abs(days)
    text = f"{size * 24:.0f} hours" if size < 2 else f"{size:.0f} days"
    text = text[:-1] if text.startswith("1 ") else text
    return f"{text} late" if days < 0 else f"{text} left"


def _safe(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


PAGES = Environment(
    loader=FileSystemLoader(FOLDER / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_safe,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters |= {"date": date_words, "days": days_words, "state": state_words}
PAGES.globals |= {"KINDS": {name: HEADINGS[name] for name in REQUESTS}, "WORDS": HEADINGS, "CATEGORIES": CATEGORIES}
