"""A judge says what a picture shows. It carries its own digest, and it can be wrong: its error is measured."""

from expunge.engine.judges.base import Judge, Sighting, fault
from expunge.engine.judges.card import categories, known, open_judge
from expunge.engine.judges.clip import ClipJudge
from expunge.engine.judges.ensemble import Ensemble, look_for_any
from expunge.engine.judges.panel import Panel, clip_of
from expunge.engine.stats.evidence.table import NOTHING

__all__ = [
    "NOTHING",
    "ClipJudge",
    "Ensemble",
    "Judge",
    "Panel",
    "Sighting",
    "categories",
    "clip_of",
    "fault",
    "known",
    "look_for_any",
    "open_judge",
]
