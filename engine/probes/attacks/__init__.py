"""Attacks: attempts to bring an erased concept back, by more than a user's words. Each is one idea, one file."""

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
from expunge.engine.probes.attacks.prompt_search import PromptSearch
from expunge.engine.probes.attacks.relearn import Relearn
from expunge.engine.probes.attacks.start_picture import StartPicture, remains

ATTACKS = {attack.name: attack for attack in (Inversion, PromptSearch, ConceptVector, StartPicture, Relearn)}

__all__ = [
    "ATTACKS",
    "Attack",
    "Attempt",
    "ConceptVector",
    "Inversion",
    "Kept",
    "PromptSearch",
    "Relearn",
    "Searching",
    "StartPicture",
    "attack_rows",
    "making_digest",
    "reference_pictures",
    "remains",
    "run_attacks",
    "search_effort",
    "success_rate",
]
