"""Attacks: attempts to bring an erased concept back, by more than a user's words. Each is one idea, one file.

Every file here that defines `ATTACK` is an attack, and has the attack's name. Which attacks a level demands is a rule
of the policies: `LEVELS` in `levels.py`, `ATTACKS_AT` in `policies/model/schema.py`.
"""

from typing import Any

from expunge.engine.discover import discover
from expunge.engine.probes.attacks.base import (
    Attack,
    Attempt,
    Kept,
    Searching,
    attack_rows,
    reference_pictures,
    run_attacks,
    search_effort,
    success_rate,
)
from expunge.engine.probes.attacks.concept_vector import ConceptVector
from expunge.engine.probes.attacks.inversion import Inversion
from expunge.engine.probes.attacks.making import making_digest
from expunge.engine.probes.attacks.other_settings import OtherSettings
from expunge.engine.probes.attacks.prompt_search import PromptSearch
from expunge.engine.probes.attacks.relearn import Relearn
from expunge.engine.probes.attacks.start_picture import StartPicture, remains
from expunge.engine.probes.attacks.word_sweep import WordSweep

ATTACKS: dict[str, type[Any]] = discover(__name__, "ATTACK")

__all__ = [
    "ATTACKS",
    "Attack",
    "Attempt",
    "ConceptVector",
    "Inversion",
    "Kept",
    "OtherSettings",
    "PromptSearch",
    "Relearn",
    "Searching",
    "StartPicture",
    "WordSweep",
    "attack_rows",
    "making_digest",
    "reference_pictures",
    "remains",
    "run_attacks",
    "search_effort",
    "success_rate",
]
