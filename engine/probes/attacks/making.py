"""The digest of the code and words behind the attacks. It is part of the key of every attempt that is kept, so what
older code found is not taken for an outcome of this one."""

from __future__ import annotations

from functools import cache

from expunge.engine.files.code_closure import closure_digest


@cache
def making_digest() -> str:
    """Return the digest of all that attacks import and of the words that lie beside it, read once in each process."""
    return closure_digest("probes.attacks")
