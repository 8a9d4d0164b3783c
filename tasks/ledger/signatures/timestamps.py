"""When a receipt was there at the latest: a token of a time-stamp server (RFC 3161), whose clock nobody here can set.

`$EXPUNGE_TSA` is the address of the server, `$EXPUNGE_TSA_ROOT` a PEM file of the certificates to which its own leads.
With both set no receipt is written without a token: where the server does not answer, the step ends with
ServiceUnreachable, and the same command goes on later. A receipt names the library that took its token, so a token
that was removed is missed. The audit holds each token against the root that the auditor names.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from expunge.engine.files.atomic import write_whole
from expunge.tasks.core.errors import ServiceUnreachable, UsageError
from expunge.tasks.ledger.receipt import Receipt

SERVER, ROOT = "EXPUNGE_TSA", "EXPUNGE_TSA_ROOT"
LIBRARY = "rfc3161-client"
SECONDS, MOST_BYTES = 20, 1 << 16
APART = timedelta(minutes=10)
"""How far a receipt and its token may be apart: a clock that is further off says nothing."""

FOLDER = "timestamps"


def stamping() -> dict[str, str]:
    """Return what a receipt says of its token: the library and its version; nothing if no server is configured."""
    return {LIBRARY: version(LIBRARY)} if os.environ.get(SERVER) else {}


def check_server() -> None:
    """Ask the configured server for a token, so that nobody works for hours before it refuses one.

    Raises UsageError where root or address cannot be used, ServiceUnreachable where the server gives no good token.
    """
    if os.environ.get(SERVER):
        _token(b"expunge", datetime.now(UTC))


def stamp(home: Path, receipt: Receipt) -> None:
    """Get the token of a receipt that says it has one, and leave it in the home. Raises as `check_server`."""
    if LIBRARY in receipt.versions:
        write_whole(_file(home, receipt), _token(receipt.content, datetime.fromisoformat(receipt.at)))


def stamp_problems(home: Path, chain: Sequence[Receipt]) -> Iterator[tuple[Receipt, str]]:
    """Yield the receipts whose time nobody vouches for though they say so, or one before them does, and why.

    Without a root to hold them against, only what is missing is found.
    """
    begun, roots = False, _roots() if os.environ.get(ROOT) else []
    for receipt in chain:
        begun = begun or LIBRARY in receipt.versions
        if begun and (problem := _problem(home, receipt, roots)):
            yield receipt, problem


def unchecked_stamps(chain: Sequence[Receipt]) -> int:
    """Return how many receipts could not be held against a root: with none those that have a token, else the others."""
    known = bool(os.environ.get(ROOT))
    return sum((LIBRARY in receipt.versions) != known for receipt in chain)


def _problem(home: Path, receipt: Receipt, roots: Sequence[Certificate]) -> str:
    file = _file(home, receipt)
    if not file.is_file():
        return "has no time stamp, and it or one before it says that it has"
    try:
        answer = decode_timestamp_response(file.read_bytes())
        if roots:
            _verify(answer, receipt.content, roots, datetime.fromisoformat(receipt.at))
    except (OSError, ValueError, VerificationError) as error:
        return f"has a time stamp that does not count: {error}"
    return ""


def _token(content: bytes, at: datetime) -> bytes:
    roots, url = _roots(), os.environ[SERVER]
    builder = TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True)
    request = builder.cert_request(cert_request=True).build()
    answer = _ask(url, request.as_bytes())
    try:
        _verify(decode_timestamp_response(answer), content, roots, at, request.nonce)
    except (ValueError, VerificationError) as error:
        raise ServiceUnreachable(
            f"the time-stamp server at {url} gives no token that counts ({error}): check {SERVER}, {ROOT} and the clock"
        ) from None
    return answer


def _ask(url: str, request: bytes) -> bytes:
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"{SERVER} is {url!r}: give the http or https address of a time-stamp server")
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, request, headers), timeout=SECONDS) as response:
            return response.read(MOST_BYTES)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ServiceUnreachable(
            f"the time-stamp server at {url} does not answer ({error}): run again later, or take {SERVER} away; the "
            "receipts written then have no time stamp, and the audit says so"
        ) from None


def _verify(
    answer: TimeStampResponse, content: bytes, roots: Sequence[Certificate], at: datetime, nonce: int | None = None
) -> None:
    builder = VerifierBuilder(roots=list(roots), nonce=nonce)
    builder.build().verify_message(answer, content)
    if abs((stamped := answer.tst_info.gen_time) - at) > APART:
        raise ValueError(f"it is of {stamped:%Y-%m-%dT%H:%M:%SZ}, and the receipt says {at:%Y-%m-%dT%H:%M:%SZ}")


def _roots() -> list[Certificate]:
    path = os.environ.get(ROOT, "")
    try:
        return load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{ROOT} is {path!r}, no PEM file of certificates ({error}): give the root of the time-stamp server"
        ) from None


def _file(home: Path, receipt: Receipt) -> Path:
    return home / FOLDER / receipt.line / receipt.file_name.replace(".json", ".tsr")
