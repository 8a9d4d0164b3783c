"""What every request passes before any page: a known host, a bounded size, a person who is logged in."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expunge.flows.desk.session import Sessions

MOST_UPLOAD, MOST_FORM, MOST_LOGIN = 10_500_000, 3_500_000, 10_000
"""The bytes of the largest notice and its form, of a form without a notice, and of what a stranger may send.

A policy of a million characters can have three bytes each once a browser has coded it.
"""
OPEN_TO_ALL = ("/login", "/static/")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class TooLarge(Exception):
    """The body is larger than the desk takes."""


class Guard:
    """Let in who is logged in, and nobody else: a page that is added later is closed by default."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self.app, self.sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        request, guarded = HTTPConnection(scope), with_headers(send)
        session = self.sessions.of(request)
        scope.setdefault("state", {})["session"] = session
        most = _most(scope["path"], bool(session.name))
        if _length(request) > most:
            await PlainTextResponse(f"This is larger than the desk takes ({most} bytes).", 413)(scope, receive, guarded)
            return
        if not session.name and not scope["path"].startswith(OPEN_TO_ALL):
            read = scope["method"] in ("GET", "HEAD")
            closed = RedirectResponse("/login", 303) if read else PlainTextResponse("Log in first.", 403)
            await closed(scope, receive, guarded)
            return
        await self.app(scope, bounded(receive, most), guarded)


def bounded(receive: Receive, most: int) -> Receive:
    """Return a reader that stops where the body is larger than it may be, whatever its header said."""
    read = 0

    async def inner() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise TooLarge
        return message

    return inner


def with_headers(send: Send) -> Send:
    """Return a sender that adds the headers that a page did not set itself."""

    async def inner(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return inner


def _most(path: str, known: bool) -> int:
    if not known:
        return MOST_LOGIN
    return MOST_UPLOAD if path == "/receive" or path.endswith("/counter") else MOST_FORM


def _length(request: HTTPConnection) -> int:
    said = request.headers.get("content-length", "0")
    return int(said) if said.isdecimal() and len(said) < 16 else MOST_UPLOAD + 1
