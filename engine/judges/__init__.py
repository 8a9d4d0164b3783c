"""A judge says what a picture shows. It carries its own digest, and it can be wrong: its error is measured."""

from engine.judges.base import Judge, Sighting, fault
from engine.judges.card import categories, known
from engine.judges.clip import ClipJudge
from engine.judges.ensemble import Ensemble, look_for_any
from engine.judges.opening import open_judge

__all__ = ["ClipJudge", "Ensemble", "Judge", "Sighting", "categories", "fault", "known", "look_for_any", "open_judge"]
