"""What is done with a request: its policy, plan and submission, the decision, and what is on record of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as Folder
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import HTMLResponse, RedirectResponse, Response

from expunge.flows import background
from expunge.flows.casework import approval
from expunge.flows.casework.letters import write_letter
from expunge.flows.casework.trail import files_of, report_for, trail
from expunge.flows.desk import drafts
from expunge.flows.desk.inbox import Line, RequestId
from expunge.flows.desk.login import Form, text_of
from expunge.flows.desk.render import page
from expunge.flows.history import states
from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.paths import write_over
from expunge.tasks.core.settings import acting_as
from expunge.tasks.ledger.decisions.record import line_of_question

RunId = Annotated[str, Path(pattern=f"^{background.RUN_ID.pattern}$")]
WorkId = Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")]
LetterName = Annotated[str, Path(pattern=r"^[a-z0-9_-]{1,64}$")]
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
"""The report is one file with its own styles and pictures; no script runs in it, and it is of no site."""
MOST_KEY = 20_000
router = APIRouter()


@router.get("/requests/{request_id}/policy")
def show_policy(request: Request, request_id: RequestId, mode: str = "form") -> Response:
    """Show the draft of a request's policy, as fields or as text."""
    return _policy_page(request, request_id, _draft(request, request_id), mode, 200)


@router.post("/requests/{request_id}/policy/check")
def check_policy(request: Request, request_id: RequestId, form: Form) -> Response:
    """Say what is wrong with the policy as it is written now; nothing is kept."""
    data = drafts.written(form, _draft(request, request_id), request_id)
    return page(request, "checked.html", **drafts.check(data, request_id))


@router.post("/requests/{request_id}/policy")
def save_policy(request: Request, request_id: RequestId, form: Form) -> Response:
    """Keep the policy as it is written, and plan or submit it if that was asked for."""
    data = drafts.written(form, _draft(request, request_id), request_id)
    write_over(drafts.draft_file(request.app.state.home, request_id), data)
    then = text_of(form, "then")
    if then not in ("plan", "submit"):
        mode = "text" if text_of(form, "mode") == "text" else "form"
        return RedirectResponse(f"/requests/{request_id}/policy?mode={mode}", 303)
    if drafts.check(data, request_id)["problems"]:
        return _policy_page(request, request_id, data, text_of(form, "mode"), 400)
    return _started(request, then, [], request_id, data)


@router.post("/requests/{request_id}/approve")
def approve(request: Request, request_id: RequestId, form: Form) -> Response:
    """Put the approval of the person who is logged in on record, and publish."""
    home, who, line = request.app.state.home, request.state.session.name, text_of(form, "line")
    with _key(form) as key, acting_as(who):
        given = approval.approve(home, request_id, key, line, who)
    return _started(request, "publish", [request_id], request_id, line=given["line"])


@router.post("/requests/{request_id}/refuse")
def refuse(request: Request, request_id: RequestId, form: Form) -> Response:
    """Put the refusal of the person who is logged in on record, with its reason."""
    home, who, line = request.app.state.home, request.state.session.name, text_of(form, "line")
    with _key(form) as key, acting_as(who):
        given = approval.refuse(home, request_id, text_of(form, "reason"), key, line, who)
    return RedirectResponse(f"/requests/{request_id}?line={given['line']}", 303)


@router.post("/requests/{request_id}/publish")
def publish(request: Request, request_id: RequestId, form: Form) -> Response:
    """Publish what was approved, where that did not come to its end."""
    line = line_of_question(request.app.state.home, request_id, text_of(form, "line"))
    return _started(request, "publish", [request_id], request_id, line=line)


@router.get("/requests/{request_id}/report")
def show_report(request: Request, request_id: RequestId, work: WorkId = "") -> Response:
    """Show the report of one work of a request, with its sheets; of the last one where none is named."""
    report = report_for(request.app.state.home, request_id, work)
    if report is None:
        raise HTTPException(404)
    return HTMLResponse(report.read_bytes(), headers={"content-security-policy": REPORT_POLICY})


@router.get("/requests/{request_id}/files.zip")
def hand_out(request: Request, request_id: RequestId, line: Line = "") -> Response:
    """Hand out the receipts, the report and the manifest of a request."""
    name = {"content-disposition": f'attachment; filename="{request_id}.zip"'}
    return Response(files_of(request.app.state.home, request_id, line), media_type="application/zip", headers=name)


@router.get("/requests/{request_id}/letters/{name}")
def hand_out_letter(request: Request, request_id: RequestId, name: LetterName, line: Line = "") -> Response:
    """Hand out a letter about a request."""
    letter = write_letter(request.app.state.home, name, request_id, line=line)
    file_name = re.sub(r"[^\w.-]", "_", letter.file_name, flags=re.ASCII)
    attached = {"content-disposition": f'attachment; filename="{file_name}"'}
    return Response(letter.content, media_type="application/octet-stream", headers=attached)


@router.get("/runs/{run_id}")
def show_run(request: Request, run_id: RunId) -> Response:
    """Show how far a run is, and what came of it."""
    return page(request, "run.html", **_run(request, run_id))


@router.get("/runs/{run_id}/progress")
def show_progress(request: Request, run_id: RunId) -> Response:
    """Show the part of the page that changes."""
    return page(request, "progress.html", **_run(request, run_id))


@router.get("/record")
def show_record(request: Request) -> Response:
    """Show all requests on record, and the last audits."""
    home = request.app.state.home
    found = states(home, None) if home.is_dir() else {"requests": [], "problems": [], "database": []}
    problems = [*found["problems"], *found["database"]]
    return page(request, "record.html", rows=found["requests"], problems=problems, runs=background.runs(home, ""))


@router.post("/record/audit")
def start_audit(request: Request) -> Response:
    """Check whether the record is whole."""
    return _started(request, "audit", [], "")


def _draft(request: Request, request_id: str) -> bytes:
    data = drafts.read_draft(request.app.state.home, request_id)
    if data is None:
        raise HTTPException(404)
    return data


def _policy_page(request: Request, request_id: str, data: bytes, mode: str, status: int) -> Response:
    content = drafts.content_of(data)
    shown = "text" if content is None or mode == "text" else "form"
    values = {"fields": drafts.fields(content or {}), "text": data.decode("utf-8", "replace"), "mode": shown}
    models = drafts.known_models(request.app.state.home)
    checked = drafts.check(data, request_id)
    numbers = drafts.NUMBERS
    return page(
        request, "policy.html", status, request_id=request_id, models=models, NUMBERS=numbers, **values, **checked
    )


def _started(
    request: Request, command: str, words: list[str], request_id: str, policy: bytes | None = None, line: str = ""
) -> Response:
    who = request.state.session.name
    run_id = background.start(request.app.state.home, command, words, who, request_id, policy, line)
    return RedirectResponse(f"/runs/{run_id}", 303)


def _run(request: Request, run_id: str) -> dict[str, Any]:
    home = request.app.state.home
    run = background.describe(home, run_id)
    if run is None:
        raise HTTPException(404)
    steps = trail(home, run["request_id"], run.get("line", "")) if run["request_id"] and home.is_dir() else []
    begun = run["at"][:19]
    return {"run": run, "steps": [one for one in steps if one["at"][:19] >= begun and one["step"] != "received"]}


@contextmanager
def _key(form: FormData) -> Iterator[Folder]:
    """Yield where the private key that was sent can be read, in memory alone: nothing of it outlasts this process."""
    sent = form.get("key")
    content = sent.file.read(MOST_KEY + 1) if isinstance(sent, UploadFile) else b""
    if not 0 < len(content) <= MOST_KEY:
        raise UsageError("Choose the file of your private key: a decision is signed with it, and it is not kept.")
    with os.fdopen(os.memfd_create("key"), "wb", buffering=0) as memory:
        memory.write(content)
        yield Folder(f"/proc/self/fd/{memory.fileno()}")
