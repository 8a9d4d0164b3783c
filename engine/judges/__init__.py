"""A judge says what a picture shows. It carries its own digest, and it can be wrong: the positive control tells."""

from engine.judges.base import Judge, Sighting, fault
from engine.judges.clip import ClipJudge

__all__ = ["ClipJudge", "Judge", "Sighting", "fault"]
