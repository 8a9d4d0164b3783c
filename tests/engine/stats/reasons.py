"""Why a verdict is what it is, in short."""

from __future__ import annotations

from expunge.engine.stats.verdict import Verdict


def by_concept(result: Verdict) -> list[tuple[str, str]]:
    return [(reason.code, reason.concept) for reason in result.reasons]


def by_probe(result: Verdict) -> list[tuple[str, str]]:
    return [(reason.code, reason.probe) for reason in result.reasons]
