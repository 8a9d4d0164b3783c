"""A judge says what a picture shows. It carries its own digest, and it can be wrong: its error is measured."""

from expunge.engine.judges.base import Judge, Sighting, fault
from expunge.engine.judges.card import categories, known
from expunge.engine.judges.clip import ClipJudge
from expunge.engine.judges.ensemble import Ensemble, look_for_any
from expunge.engine.judges.opening import open_judge

__all__ = ["ClipJudge", "Ensemble", "Judge", "Sighting", "categories", "fault", "known", "look_for_any", "open_judge"]
