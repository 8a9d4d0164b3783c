"""Sessions: a signed cookie that says who logged in, and the token that every form of that session carries."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from expunge.flows.desk.people import Door

COOKIE = "expunge-desk"
HOURS = 12
FORM_FIELD, HEADER = "csrf", "x-csrf-token"


@dataclass(frozen=True)
class Session:
    """One browser. `name` is "" before login; `proof` is what let the person in."""

    id: str
    name: str = ""
    proof: str = ""


@dataclass
class Sessions:
    """Reads and writes the cookies. `ended` are the sessions that logged out here.

    Each start of the desk has a secret of its own, so that no session from before comes back, logged out or not.
    """

    door: Door
    secure: bool = False
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    ended: set[str] = field(default_factory=set)

    def of(self, request: HTTPConnection) -> Session:
        """Return the session of a request: that of its cookie if it counts, else a new one of nobody."""
        try:
            found = self._signer.loads(request.cookies.get(COOKIE, ""), max_age=HOURS * 3600)
            session = Session(*found)
        except (BadSignature, TypeError, ValueError):
            return Session(secrets.token_urlsafe(18))
        known = not session.name or self.door.still_admits(session.name, session.proof, request)
        return session if known and session.id not in self.ended else Session(secrets.token_urlsafe(18))

    def begin(self, name: str, proof: str) -> Session:
        """Return a new session of a person: never the one from before the login."""
        return Session(secrets.token_urlsafe(18), name, proof)

    def write(self, session: Session, response: Response) -> None:
        """Put the cookie of a session on a response."""
        value = str(self._signer.dumps([session.id, session.name, session.proof]))
        response.set_cookie(
            COOKIE, value, max_age=HOURS * 3600, httponly=True, samesite="strict", secure=self.secure, path="/"
        )

    def end(self, session: Session, response: Response) -> None:
        """Log out: a copy of the cookie counts no more either."""
        self.ended.add(session.id)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self.secure, path="/")

    def form_token(self, session: Session) -> str:
        """Return the token that shows that a form was made for this session."""
        return hmac.new(self.secret, f"form:{session.id}".encode(), hashlib.sha256).hexdigest()

    @property
    def _signer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.secret, salt="expunge desk session")


def is_forged(request: Request, session: Session, sessions: Sessions, token: str) -> bool:
    """Return whether a request that changes something may have been made by another page than ours.

    A browser names the page that sends a form in the header Origin. Whoever leaves it out is refused, too.
    """
    origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
    same = host and origin in (f"http://{host}", f"https://{host}")
    return not same or not hmac.compare_digest(token.encode(), sessions.form_token(session).encode())
