"""The digest of the code and words behind the attacks.

It is part of the key of every stored attempt, so an outcome of older code is never taken for one of this code.
"""

from __future__ import annotations

from functools import cache

from expunge.engine.files.code_closure import closure_digest


@cache
def making_digest() -> str:
    """Return the digest of everything that attacks import and of the words beside it, read once in each process."""
    return closure_digest("probes.attacks")
