"""Put the desk together: the pages, who may see them, and how an error is shown."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from expunge.errors import ExpungeError
from expunge.flows.background import clear
from expunge.flows.desk import inbox, login, work
from expunge.flows.desk.guard import Guard, TooLarge
from expunge.flows.desk.login import refuse_forged
from expunge.flows.desk.people import Door
from expunge.flows.desk.render import FOLDER, page
from expunge.flows.desk.session import Sessions
from expunge.tasks.core.settings import LOOPBACK
from expunge.tasks.storage.record.freshness import Freshness

PAGES = (inbox, work)
WORDS = {403: "This is not allowed.", 404: "There is no such page.", 405: "There is no such page."}


def make_app(home: Path, door: Door, hosts: Collection[str] = (), secure: bool = False) -> FastAPI:
    """Return the web application on a home.

    Args:
        home: the home whose record it shows.
        door: who may log in.
        hosts: by what names, besides those of this machine itself, it is called.
        secure: send cookies over HTTPS alone.
    """
    app = FastAPI(
        title="expunge desk", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(refuse_forged)]
    )
    app.state.home, app.state.sessions = home, Sessions(door, secure)
    app.state.freshness = Freshness(home)
    _clean(home)
    app.include_router(login.router)
    for module in PAGES:
        app.include_router(module.router, dependencies=[Depends(look_at_record)])
    app.mount("/static", StaticFiles(directory=FOLDER / "static"))
    app.add_exception_handler(ExpungeError, _show_refusal)
    app.add_exception_handler(HTTPException, _show_missing)
    app.add_exception_handler(RequestValidationError, _show_missing)
    app.add_exception_handler(TooLarge, _show_too_large)
    app.add_middleware(Guard, sessions=app.state.sessions)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, *hosts], www_redirect=False)
    return app


def look_at_record(request: Request) -> None:
    """Fetch what other machines put on record before a page shows it; the page says so where it may be old."""
    if request.method == "GET" and request.state.session.name:
        request.state.old = request.app.state.freshness.look()


def _clean(home: Path) -> None:
    """Remove what earlier versions left: keys of people, and the secret of old sessions; and runs of long ago."""
    for left in (*(home / "private").glob("key-????????.pem"), home / "private" / "desk.key"):
        left.unlink(missing_ok=True)
    clear(home, datetime.now(UTC))


def _show_refusal(request: Request, error: Exception) -> Response:
    return page(request, "error.html", 400, title="This was refused", problems=str(error).splitlines())


def _show_missing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    said = error.detail if isinstance(error, HTTPException) and status == 403 else WORDS.get(status, "This failed.")
    return page(request, "error.html", status, title=said, problems=[])


def _show_too_large(request: Request, error: Exception) -> Response:
    return page(
        request,
        "error.html",
        413,
        title="This is larger than the desk takes",
        problems=["A notice may have 10 MB."],
    )
