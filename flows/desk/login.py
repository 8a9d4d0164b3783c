"""Log in and out, and refuse a form that another page sent."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse, Response

from expunge.flows.desk.people import BY_PROXY
from expunge.flows.desk.render import page
from expunge.flows.desk.session import FORM_FIELD, HEADER, is_forged
from expunge.tasks.core.errors import UsageError

MOST_FIELDS, MOST_FIELD = 400, 2_000
MOST_OF = {"text": 1_000_000, "policy": 1_000_000, "aliases": 20_000}
"""How many characters a field may have, and those that hold a whole file or a list."""
router = APIRouter()


async def refuse_forged(request: Request) -> None:
    """Refuse each request that changes something and does not come from a form of the same session."""
    if request.method in ("GET", "HEAD"):
        return
    form = await read_form(request)
    token = request.headers.get(HEADER) or form.get(FORM_FIELD)
    if is_forged(request, request.state.session, request.app.state.sessions, token if isinstance(token, str) else ""):
        raise HTTPException(403, "This form is not of your session. Go back, load the page again and repeat.")


async def read_form(request: Request) -> FormData:
    """Return the fields that were sent, bounded in number and size. UsageError names one that is too long."""
    form = await request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=4 * max(MOST_OF.values()))
    for name, value in form.multi_items():
        most = MOST_OF.get(name.rsplit("-", 1)[-1], MOST_FIELD)
        if isinstance(value, str) and len(value) > most:
            raise UsageError(f"{name[:60]}: {len(value)} characters, {most} are allowed. Shorten it.")
    return form


Form = Annotated[FormData, Depends(read_form)]


def text_of(form: FormData, name: str) -> str:
    """Return a field as text; "" if it was not sent."""
    value = form.get(name, "")
    return "" if isinstance(value, UploadFile) else value.replace("\r\n", "\n").strip()


@router.get("/login")
def show_login(request: Request) -> Response:
    """Show the login page; whom a proxy names is let in at once."""
    sessions = request.app.state.sessions
    if request.state.session.name:
        return RedirectResponse("/", 303)
    if name := sessions.door.person_behind(request):
        return _admitted(request, name, BY_PROXY)
    return page(request, "login.html", problem="")


@router.post("/login")
def log_in(request: Request, form: Form) -> Response:
    """Let in whoever has a token."""
    found = request.app.state.sessions.door.person_with(text_of(form, "token"))
    if found is None:
        return page(request, "login.html", 403, problem="This token is not known here. Check it, or ask for a new one.")
    return _admitted(request, *found)


@router.post("/logout")
def log_out(request: Request) -> Response:
    """End the session."""
    response = RedirectResponse("/login", 303)
    request.app.state.sessions.end(request.state.session, response)
    return response


def _admitted(request: Request, name: str, proof: str) -> Response:
    response = RedirectResponse("/", 303)
    sessions = request.app.state.sessions
    sessions.write(sessions.begin(name, proof), response)
    return response
