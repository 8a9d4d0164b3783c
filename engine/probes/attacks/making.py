"""The digest of the code and templates behind the attacks. It is part of the key of every attempt that is kept, so what
older code found is not taken for an outcome of this one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from expunge.engine.files.digests import code_digest, json_digest
from expunge.engine.text.templates import templates_digest

HERE = Path(__file__).parent
ENGINE = HERE.parents[1]
SHARED = ("models/denoising.py", "text/vocabulary.py", "text/templates.py", "probes/families.py")
CODE = (*sorted(HERE.glob("*.py")), *(ENGINE / name for name in SHARED))
"""The attacks, the model as their examiner, and the words they may and may not use."""


@cache
def making_digest() -> str:
    """Of the attacks' code and of the templates that they phrase everything in, read once in each process."""
    return json_digest({"code": code_digest(CODE), "templates": templates_digest()})
