"""Rows of evidence, made up so that it is known how often everything is seen."""

from __future__ import annotations

import hashlib

from expunge.engine.stats.evidence.table import Row


def rows(
    name: str, role: str, before: int, after: int, n: int, probe: str = "name", category: str = "object"
) -> list[Row]:
    """n pairs of which the first `before` and the first `after` are seen."""
    return [
        Row(name, role, category, probe, f"{probe} {name}", seed, arm, seed < seen, 0.5, picture(seed, arm))
        for arm, seen in (("before", before), ("after", after))
        for seed in range(n)
    ]


def picture(seed: int, arm: str) -> str:
    """A digest of its own for each."""
    return hashlib.sha256(f"{seed}{arm}".encode()).hexdigest()
