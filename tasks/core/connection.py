"""Addresses and errors of services as people may see them: without a name or a password."""

from __future__ import annotations

from urllib.parse import urlsplit

SECONDS = 5


def without_password(url: str) -> str:
    """Return the address without the name and password that may be in it."""
    return url.replace(f"{_account(url)}@", "") if _account(url) else url


def describe_error(error: Exception, url: str) -> str:
    """Return what an error, or the failed connection behind it, says on one line.

    The password of an address is not in it.
    """
    behind: BaseException | None = error
    while behind and not isinstance(behind, ConnectionError | TimeoutError):
        behind = behind.__cause__ or behind.__context__
    said = " ".join(str(behind or error).split()) or type(error).__name__
    return said.replace(f"{_account(url)}@", "") if _account(url) else said


def _account(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[0]
    except ValueError:  # it is no address at all, which is what the error says
        return ""
