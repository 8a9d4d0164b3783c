"""Revival by the concept's own pictures: how fast does a model that is tuned on them draw the concept again?

Whoever has pictures of a concept can teach it to any model. On the built-in model, thirty steps on eight pictures teach
it to a model that never saw it about as fast as they revive it in an erased one. So this figure informs. Only the
excess over such a model would say that something was left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.engine.probes.attacks.base import Kept, said
from expunge.engine.probes.attacks.compared.paths import by_turns
from expunge.engine.probes.attacks.relearn import Relearn
from expunge.engine.probes.prompts.families import Subject


@dataclass(frozen=True)
class OwnPictures(Relearn):
    """`relearn` on `pictures` references under the concept's own name."""

    name: ClassVar[str] = "own_pictures"
    learns: ClassVar[bool] = True
    retrains: ClassVar[bool] = False
    steps: int = 30
    pictures: int = 8

    def lessons(self, subject: Subject, references: np.ndarray, kept: Sequence[Kept]) -> list[Kept]:
        """Return the references, worded by turns as the concept is asked for afterwards."""
        texts = said(subject, subject.name, self.wordings)
        shown = by_turns(subject, references, self.pictures)
        return [Kept(texts[number % len(texts)], picture) for number, picture in enumerate(shown)]


ATTACK = OwnPictures
