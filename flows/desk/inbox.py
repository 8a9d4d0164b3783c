"""The inbox by due date, and the receipt of a notice."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path as Folder
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse, Response

from expunge.errors import ExpungeError
from expunge.flows.background import runs
from expunge.flows.casework.approval import waiting
from expunge.flows.casework.counter import record_counter
from expunge.flows.casework.letters import possible_letters
from expunge.flows.casework.notices import MOST_BYTES, describe_notice, draft_file, list_due, record_notice
from expunge.flows.casework.trail import states_by_line, trail
from expunge.flows.desk.login import Form, text_of
from expunge.flows.desk.render import page
from expunge.policies.kinds import KINDS, REQUESTS, Kind
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.settings import acting_as

RequestId = Annotated[str, Path(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Line = Annotated[str, Query(pattern=r"^[a-z0-9-]{0,63}$")]
router = APIRouter()


@router.get("/")
def show_inbox(request: Request) -> Response:
    """Show what waits to be carried out, the most urgent first."""
    home = request.app.state.home
    found = list_due(home) if home.is_dir() else {"due": [], "problems": []}
    return page(request, "inbox.html", rows=found["due"], problems=found["problems"])


@router.get("/receive")
def show_receive(request: Request) -> Response:
    """Show the form for a new notice."""
    return page(request, "receive.html", problems=[], text="", kind="", received="")


@router.post("/receive")
def receive(request: Request, form: Form) -> Response:
    """Put a notice on record, complete or not."""
    try:
        data, name = _content(form)
        with acting_as(request.state.session.name):
            found = record_notice(data, name, _kind(form), _moment(form), None, request.app.state.home)
    except (ValueError, UsageError) as error:
        kept = {name: text_of(form, name) for name in ("text", "kind", "received")}
        return page(request, "receive.html", 400, problems=str(error).splitlines(), **kept)
    return RedirectResponse(f"/requests/{found['request_id']}", 303)


@router.get("/requests/{request_id}")
def show_request(request: Request, request_id: RequestId, line: Line = "") -> Response:
    """Show all that is known of a request on one model line; where several have it, let the person choose."""
    return page(request, "request.html", **_known(request, request_id, line))


@router.post("/requests/{request_id}/counter")
def receive_counter(request: Request, request_id: RequestId, form: Form) -> Response:
    """Put a counter-notice on record, or the news of a court action; nothing is published for the request then."""
    home, (data, name), court = request.app.state.home, _content(form), text_of(form, "court_action") == "yes"
    with acting_as(request.state.session.name):
        found = record_counter(request_id, data, name, _moment(form), home, court)
    return RedirectResponse(f"/requests/{found['request_id']}", 303)


def _known(request: Request, request_id: str, line: str) -> dict[str, Any]:
    home = request.app.state.home
    notice, states = describe_notice(home, request_id), states_by_line(home, request_id)
    line = line or (next(iter(states)) if len(states) == 1 else "")
    due = _row_of(list_due(home)["due"], request_id, line)
    if (notice is None and due is None and not states) or (line and line not in states):
        raise HTTPException(404)
    return {
        "request_id": request_id,
        "line": line,
        "lines": states,
        "notice": notice,
        "is_countered": notice is not None and KINDS[notice["kind"]].is_countered,
        "due": due,
        "state": states.get(line),
        "waits": _row_of(waiting(home), request_id, line) if line else None,
        "steps": trail(home, request_id, line),
        "runs": [run for run in runs(home, request_id) if run.get("line", "") in ("", line)],
        "letters": _letters(home, request_id, line),
        "has_draft": draft_file(home, request_id).is_file(),
    }


def _row_of(rows: list[dict[str, Any]], request_id: str, line: str) -> dict[str, Any] | None:
    own = [row for row in rows if row["request_id"] == request_id]
    return next((row for row in own if row.get("line", "") in ("", line) or not line), None)


def _letters(home: Folder, request_id: str, line: str) -> list[dict[str, Any]]:
    """Return the letters that can be written about a request, and why others cannot; none where the record fails."""
    try:
        return possible_letters(home, request_id, line=line)
    except ExpungeError as error:
        return [{"name": "", "title": "Letters", "problem": str(error)}]


def _content(form: FormData) -> tuple[bytes, str]:
    """Return the bytes of a notice and the name that errors give it: a file before text."""
    file = form.get("file")
    if isinstance(file, UploadFile) and file.filename:
        return file.file.read(MOST_BYTES), PurePath(file.filename).name[:100] or "the file"
    if not (text := text_of(form, "text")):
        raise UsageError("Choose a file, or paste the text of the notice.")
    return (text + "\n").encode(), "the text"


def _kind(form: FormData) -> Kind | None:
    kind = text_of(form, "kind")
    if kind and kind not in REQUESTS:
        raise UsageError("Choose one of the kinds in the list.")
    return kind or None


def _moment(form: FormData) -> datetime | None:
    """Return when the notice came in, which the form gives in UTC; None is now."""
    text = text_of(form, "received")
    try:
        return datetime.fromisoformat(f"{text}+00:00") if text else None
    except ValueError:
        raise UsageError("Received at: give a date and a time, or leave the field empty for now.") from None
