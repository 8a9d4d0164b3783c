"""Who may use the desk: people who have a token, and people for whom a login proxy vouches."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection

from expunge.tasks.core.errors import UsageError
from expunge.tasks.core.paths import write_over

NAME = re.compile(r"[\w.@+-][\w .@+-]{0,63}")
BY_PROXY = "proxy"
"""What a session says instead of a token's digest where a proxy vouched for the person."""
SECRET_HEADER = "x-expunge-proxy-secret"
SHORTEST_SECRET = 32


@dataclass(frozen=True)
class Door:
    """The ways in.

    `tokens` is the file of tokens. `header` is the HTTP header in which a login proxy names the person, "" if none
    does. It counts only from the address `proxy`, and with the `secret` that the proxy alone can read: other users of
    its machine share its address.
    """

    tokens: Path
    header: str = ""
    proxy: str = ""
    secret: str = field(default="", repr=False)

    @classmethod
    def of(cls, home: Path, variables: Mapping[str, str]) -> Door:
        """Return the ways in that the environment opens; UsageError for a header without an address or a secret."""
        tokens = Path(variables.get("EXPUNGE_DESK_TOKENS") or home / "private" / "desk-tokens.json")
        header, proxy = variables.get("EXPUNGE_DESK_HEADER", ""), variables.get("EXPUNGE_DESK_PROXY", "")
        if header and not proxy:
            raise UsageError(
                f"EXPUNGE_DESK_HEADER is {header!r}, and anybody can send a header: set EXPUNGE_DESK_PROXY to the "
                "address of the proxy that alone is believed"
            )
        return cls(tokens, header, proxy, _secret(variables) if header else "")

    def person_with(self, token: str) -> tuple[str, str] | None:
        """Return the name and the digest of whoever has this token; None if nobody has."""
        digest = _digest(token)
        found = [name for name, kept in read_tokens(self.tokens).items() if hmac.compare_digest(kept, digest)]
        return (found[0], digest) if found else None

    def person_behind(self, request: HTTPConnection) -> str:
        """Return the name that the login proxy gives; "" where there is no proxy, or another address speaks."""
        if not self.header or request.client is None or request.client.host != self.proxy:
            return ""
        secrets_sent = request.headers.getlist(SECRET_HEADER)
        if len(secrets_sent) != 1 or not hmac.compare_digest(_digest(secrets_sent[0]), _digest(self.secret)):
            return ""
        names = request.headers.getlist(self.header)
        return names[0] if len(names) == 1 and NAME.fullmatch(names[0]) else ""

    def still_admits(self, name: str, proof: str, request: HTTPConnection) -> bool:
        """Return whether a session still counts: its token was not taken away, or the proxy still names the person."""
        if proof == BY_PROXY:
            return bool(name) and hmac.compare_digest(self.person_behind(request).encode(), name.encode())
        return hmac.compare_digest(read_tokens(self.tokens).get(name, ""), proof) and bool(proof)


def _secret(variables: Mapping[str, str]) -> str:
    """Return the secret that the proxy adds, from its file. UsageError if there is none, or others can read it."""
    if not (named := variables.get("EXPUNGE_DESK_PROXY_SECRET")):
        raise UsageError(
            "EXPUNGE_DESK_HEADER is set, and any user of the proxy's machine can send a header: set "
            f"EXPUNGE_DESK_PROXY_SECRET to a file with a secret that the proxy sends in {SECRET_HEADER}"
        )
    try:
        mode, secret = Path(named).stat().st_mode, Path(named).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"EXPUNGE_DESK_PROXY_SECRET: {named} cannot be read ({error}): name a file of text") from None
    if mode & 0o007:
        raise UsageError(f"EXPUNGE_DESK_PROXY_SECRET: every user can read {named}: `chmod o= {named}`")
    if len(secret) < SHORTEST_SECRET or not secret.isascii() or not secret.isprintable():
        raise UsageError(
            f"EXPUNGE_DESK_PROXY_SECRET: {named} has no line of {SHORTEST_SECRET} or more plain characters: write one "
            "with `openssl rand -hex 32`"
        )
    return secret


def read_tokens(path: Path) -> dict[str, str]:
    """Return the digests of tokens by the name of their owner; UsageError if the file cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}): EXPUNGE_DESK_TOKENS names the file of tokens") from None
    if not isinstance(found, dict) or not all(_is_entry(name, digest) for name, digest in found.items()):
        raise UsageError(f"{path} is no file of tokens: make each with `expunge desk --new-token NAME`")
    return found


def add_token(path: Path, name: str) -> str:
    """Return a new token for a person, whose earlier one counts no more. The file keeps its digest alone."""
    if not NAME.fullmatch(name):
        raise UsageError(f"--new-token {name!r} is no name: use 1 to 64 letters, digits, spaces and . @ + - _")
    token = secrets.token_urlsafe(32)
    content = json.dumps({**read_tokens(path), name: _digest(token)}, indent=2, ensure_ascii=False) + "\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_over(path, content.encode(), 0o600)
    return token


def _is_entry(name: object, digest: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(digest, str)
        and NAME.fullmatch(name) is not None
        and re.fullmatch(r"[0-9a-f]{64}", digest) is not None
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
